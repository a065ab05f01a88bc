(** * The fast checker's walk, quickly

    - [fast_visit], [fast_walk]: what Walk.v computes, by FastRules.v and FastZ.v.

    Proved the same in FastWalkSame.v. *)

From Coq Require Import ZArith List Bool FMapPositive Uint63.
From Coq Require Sint63.
From Lastbit Require Import checker.Numbers checker.Asked checker.Lines checker.FastZ checker.FastCurves checker.FastRules checker.Walk.
From Lastbit Require checker.Backward.
Import ListNotations.
Open Scope Z_scope.

(** ** Machine integers on grids *)

Definition quad (z : Z) : Z := match z with Z0 => 0 | Zpos p => Zpos (xO (xO p)) | Zneg p => Zneg (xO (xO p)) end.

Definition over_40 : int -> Z := grid_of 15.
Definition over_50 (i : int) : Z := quad (grid_of 12 i).
Definition over_56 : int -> Z := grid_of 11.
Definition over_32 : int -> Z := grid_of 17.
Definition near_40 (z : Z) : int := of_Z (low_of 15 (z + 0x800000000000000)).
Definition above_40 (z : Z) : int := of_Z (up_of 15 z).
Definition above_50 (z : Z) : int := of_Z (- Z.shiftr (- up_of 12 z) 2).
Definition above_56 (z : Z) : int := of_Z (up_of 11 z).
Definition above_32 (z : Z) : int := of_Z (up_of 17 z).
Definition plain_of (i : int) : Z := if (i =? 0)%uint63 then 0 else Zpos (binary 16 i).

(** ** Lines *)

Definition bulk (s : stored) : Z := plain_of (s_low s) + plain_of (s_high s).
Definition fast_size (s : stored) : Z := raise 17 (bulk s).

Section Visit.
Variables (ratio : Z) (boundary : int).

Definition fast_drift (s : stored) : Z := raise 12 (ratio * plain_of (s_low s)) + raise 17 (4 * plain_of (s_high s)).

Definition fast_parts (m : cells) (kept : sparse) : sparse :=
  fold_right (fun w acc => let c := cell_at m (snd w) in
    if c_base c then merge [(times_one (fst w), base_line (snd w))] acc
    else match c_line c with None => acc | Some (t, p) => merge [(fst w * over_40 t, p)] acc end) [] kept.

Definition fast_digits (l : list (Z * stored)) : Z :=
  61 - Z.log2 (zsum (map (fun x => (low_of 40 (Z.abs (fst x)) + 1) * bulk (snd x)) l) + 1) + 40.

Definition fast_mixed (l : list (Z * stored)) : option (stored * Z) :=
  let e := Z.min 40 (fast_digits l) in
  if e <? 0 then None else
  let half := Z.shiftl 1 (43 - e) in
  let cs := map (fun x => (of_Z (Z.shiftr (low_of 39 (fst x) + half) (44 - e)), snd x)) l in
  match combined boundary (of_Z e) cs with
  | None => None
  | Some s => Some (s, zsum (map (fun xc => up_100 (up_100 (Z.abs (fst (fst xc) - raise 39 (Z.shiftl (z_of (fst (snd xc))) (44 - e)))) * fast_size (snd (fst xc))))
                              (combine l cs)) + raise 17 (plain_of (s_count s)))
  end.

Definition fast_columns (st : state) (k : positive) (kept : sparse) : option (option (int * stored * positive) * Z) :=
  match fast_parts (known st) kept with
  | [] => Some (None, 0)
  | [(x, p)] => match PositiveMap.find p (lines st) with
      | None => None
      | Some s => let t := near_40 (low_100 x) in
          Some (Some (t, s, p), up_100 (up_100 (Z.abs (x - times_one (over_40 t))) * fast_size s))
      end
  | ps => match found (lines st) ps with
      | None => None
      | Some l => match fast_mixed l with None => None | Some (s, off) => Some (Some (0x10000000000%uint63, s, own_line k), off) end
      end
  end.

(** ** One unit *)

Section Unit.
Variable m : cells.

Definition look (j : positive) : Z * Z := let c := cell_at m j in (over_40 (c_centre c), over_40 (c_rad c)).

Definition fast_slope (o : cunit) : int :=
  match o with
  | CQuotient _ c => near_40 (one * one / c)
  | CMean js => near_40 (one * one / length_of js)
  | CSilu j =>
      let (lo, hi) := ends_of look j in
      let (least, most) := silu_slopes_fast (cell_below lo) (cell_above hi) in
      let close := Z.shiftr (Z.max (Z.abs lo) (Z.abs hi)) 1 in
      near_40 (Z.shiftr (Z.max least (half - close) + Z.min most (half + close)) 1)
  | CSigmoid j =>
      let (lo, hi) := ends_of look j in
      let (least, most) := sigmoid_slopes_fast (cell_below lo) (cell_above hi) in
      let reach := Z.max (Z.abs lo) (Z.abs hi) in
      near_40 (Z.shiftr (Z.max least (quarter - Z.shiftr (reach * reach) 104) + most) 1)
  | CGate _ j => near_40 (fst (look j))
  | _ => 0%uint63
  end.

Definition fast_off (o : cunit) (box : bool) (s : Z) : int :=
  if box then let (l, h) := image look o in near_40 (Z.shiftr (l + h) 1) else
  match o with
  | CSigmoid j => let p := anchor (fst (look j)) in near_40 (fst (sigmoid_value p) - up_100 (s * grid_point p))
  | CSilu j => let p := anchor (fst (look j)) in near_40 (fst (silu_value p) - up_100 (s * grid_point p))
  | _ => 0%uint63
  end.

Definition fast_times (e : Z) (l : sparse) : sparse := map (fun x => (up_100 (e * fst x), snd x)) l.

Definition fast_early_change (o : cunit) (s : Z) : option sparse :=
  match o with
  | CPixel p => Some [(one, key p)]
  | CQuotient j c => Some (fast_times (slack s c) (c_early (cell_at m j)))
  | CSilu j => match c_early (cell_at m j) with
      | [] => Some []
      | l => let (lo, hi) := ends_of look j in Some (fast_times (silu_dev_fast s lo hi) l)
      end
  | CLinear _ _ => Some []
  | _ => if forallb (fun j => match c_early (cell_at m j) with [] => true | _ => false end) (reads_of o) then Some [] else None
  end.

Definition fast_early_kept (kept : sparse) : sparse :=
  fold_right (fun w acc => match c_early (cell_at m (snd w)) with
    | [] => acc
    | l => merge (fast_times (Z.abs (fst w)) l) acc
    end) [] kept.

Definition fast_rough (l : sparse) : sparse := map (fun x => (raise 15 (up_of 15 (fst x)), snd x)) l.
End Unit.

Definition fast_visit (st : state) (o : cunit) (base box : bool) : option (state * Backward.visited) :=
  let k := next st in let m := known st in
  if negb (forallb (fun j => Pos.ltb j k) (reads_of o) && (negb box || may_box o)) then None else
  let slope := fast_slope m o in let s := over_40 slope in
  let kept := if box then [] else core_of o s in
  let off := fast_off m o box s in let b := over_40 off in
  let late := fast_early_change m o s in
  match fast_columns st k kept, (if box then fast_early_change m o 0 else late), late with
  | Some (columns, missed), Some bent, Some away =>
      let middle := times_one (offset_of o b) + zsum (map (fun w => fst w * fst (look m (snd w))) kept) in
      let centre := near_40 (low_100 middle) in let middle_z := over_40 centre in
      let left := if box then let (l, h) := image (look m) o in Z.max (h - b) (b - l) else form_rest (look m) o s b in
      let rest := above_50 (1 + left) in let rest_z := over_50 rest in
      let exact := up_100 (Z.abs (middle - times_one middle_z)) +
        up_100 (zsum (map (fun w => Z.abs (fst w) * over_40 (c_gap (cell_at m (snd w)))) kept)) + missed + rest_z in
      let reach := match columns with None => 0 | Some (t, l, _) => up_100 (Z.abs (over_40 t) * fast_size l) end in
      let whole := Z.abs middle_z + reach + exact + 0x1000000000000000000 in
      let (noise, fit) := noise_and_fit (look m) whole o in
      let rho := above_56 noise in let rho_z := over_56 rho in
      let err := above_32 (exact + rho_z) in let err_z := over_32 err in
      let rad := above_40 (reach + err_z) in let rad_z := over_40 rad in
      let moved j := over_50 (c_move (cell_at m j)) in
      let rem := apart (look m) moved o s in
      let own := (if box then apart (look m) moved o 0 else rem) + 2 * rho_z +
        up_100 (zsum (map (fun w => Z.abs (fst w) * over_50 (c_gap_own (cell_at m (snd w)))) kept)) + 4 * missed in
      let early' := fast_rough (merge bent (fast_early_kept m kept)) in
      let own := above_50 (if base then own + peak early' else own) in let own_z := over_50 own in
      let early := if base then [] else early' in
      let move := above_50 (own_z + match columns with None => 0 | Some (t, l, _) => up_100 (Z.abs (over_40 t) * fast_drift l) end) in
      let views := if base then
          match (match columns with None => Some (empty, 0) | Some (t, l, _) => fast_mixed [(times_one (over_40 t), l)] end) with
          | None => None
          | Some (l, off) => match extended boundary l (of_Z (Z.pred (Zpos k))) err with
                             | None => None
                             | Some l' => Some (lines st, PositiveMap.add (base_line k) l' (fresh st), off)
                             end
          end
        else Some (match columns with
                   | Some (_, l, p) => if Pos.eqb p (own_line k) then PositiveMap.add p l (lines st) else lines st
                   | None => lines st
                   end, fresh st, err_z) in
      match views with
      | None => None
      | Some (lines', fresh', gap) =>
          let gap := above_40 gap in
          let c := {| c_slope := slope; c_centre := centre; c_off := off; c_box := box; c_rest := rest; c_rho := rho; c_err := err; c_rad := rad;
            c_base := base; c_line := match columns with None => None | Some (t, _, p) => Some (t, p) end; c_gap := gap;
            c_gap_own := if base then of_Z (z_of gap * 4096) else own; c_own := own; c_move := move; c_early := early |} in
          let span := Z.abs middle_z + rad_z in
          if (span - rho_z <=? whole) && (0 <=? whole) && (whole <=? limit) && fit &&
             (0 <=? rho_z) && (rho_z <=? limit) && (noise <=? rho_z) && (left <=? rest_z) &&
             (exact + rho_z <=? err_z) && (reach + err_z <=? rad_z) && (span <=? limit) && (negb base || tame ratio boundary k own_z err_z) &&
             ascending early' && all_nonneg early'
          then Some ({| next := Pos.succ k; known := PositiveMap.add k c m; lines := lines'; fresh := fresh' |},
                     {| Backward.v_op := o; Backward.v_slope := s; Backward.v_rho := rho_z; Backward.v_rem := rem; Backward.v_move := over_50 move + peak early; Backward.v_early := away |})
          else None
      end
  | _, _, _ => None
  end.
End Visit.

Section Walk.
Variables (ratio : Z) (boundary : int).

Fixpoint fast_walk (l : list item) (st : state) (seen : list Backward.visited) : option (state * list Backward.visited) :=
  match l with
  | [] => Some (st, seen)
  | Forget :: l' => fast_walk l' {| next := next st; known := known st; lines := fresh st; fresh := PositiveMap.empty stored |} seen
  | Unit o base box :: l' =>
      match fast_visit ratio boundary st o base box with
      | None => None
      | Some (st', v) => fast_walk l' st' (v :: seen)
      end
  end.
End Walk.
