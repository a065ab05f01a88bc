(** * The fast checker's walk, quickly

    - [fast_visit], [fast_walk]: what Walk.v computes, by FastRules.v and FastZ.v.

    Proved the same in FastSame.v. *)

From Coq Require Import ZArith List Bool FMapPositive Uint63.
From Lastbit Require Import checker.Numbers checker.Asked fast.Lines fast.FastZ fast.FastCurves
  fast.FastRules.
From Lastbit Require Import fast.Walk.
From Lastbit Require fast.Backward.
Import ListNotations.
Open Scope Z_scope.

(** ** Numbers *)

(** [val] of Walk.v. Each definition below computes what that of the same name in Walk.v does. *)
Definition get (f : float) : Z := grid_of (f_n f) (f_int f).
Definition plain_of (i : int) : Z := if (i =? 0)%uint63 then 0 else Zpos (binary 16 i).

(** ** Lines *)

Definition fast_bulk (s : stored) : Z := plain_of (s_low s) + plain_of (s_high s).
Definition fast_size (s : stored) : Z := raise 17 (fast_bulk s).

Section Visit.
Variables (ratio : Z) (boundary : int).

Definition fast_drift (s : stored) : Z :=
  raise 12 (ratio * plain_of (s_low s)) + raise 17 (4 * plain_of (s_high s)).

Definition fast_parts (m : cells) (kept : sparse) : sparse :=
  fold_right (fun w acc => let c := cell_at m (snd w) in
    if c_base c then merge [(times_one (fst w), base_line (snd w))] acc
    else match c_line c with None => acc | Some (t, p) => merge [(fst w * get t, p)] acc end) []
    kept.

Definition fast_total (l : list (Z * stored)) : Z :=
  zsum (map (fun x => (low_100 (Z.abs (fst x)) + 1) * fast_bulk (snd x)) l).

(** [z * 2^n] for [100 <= n]. *)
Definition fast_shift (n z : Z) : Z := raise 25 (Z.shiftl z (n - 100)).

Definition fast_mixed (h total : Z) (l : list (Z * stored)) : option (stored * Z) :=
  let e := Z.min 40 (160 - Z.log2 total - h) in
  if (e <? 0) || (h <? 0) || (99 <? h) then None else
  let n := 200 - e - h in let half := Z.shiftl 1 (n - 1) in
  let cs := map (fun x => (of_Z (Z.shiftr (fst x + half) n), snd x)) l in
  match combined boundary (of_Z e) cs with
  | None => None
  | Some s => Some (s,
      zsum (map (fun xc =>
        up_100 (up_100 (Z.abs (fst (fst xc) - Z.shiftl (z_of (fst (snd xc))) n)) *
          fast_size (snd (fst xc)))) (combine l cs)) +
      up_100 (Z.shiftl 1 (100 - h) * raise 17 (plain_of (s_count s))))
  end.

Definition fast_columns (st : state) (k : positive) (kept : sparse) :
  option (option (float * stored * positive) * Z) :=
  match fast_parts (known st) kept with
  | [] => Some (None, 0)
  | [(x, p)] => match PositiveMap.find p (lines st) with
      | None => None
      | Some s => let t := near (low_100 x) in
          Some (Some (t, s, p), up_100 (up_100 (Z.abs (x - times_one (get t))) * fast_size s))
      end
  | ps => match found (lines st) ps with
      | None => None
      | Some l =>
          let total := fast_total l in let h := Z.max 0 (Z.min 96 (136 - Z.log2 total)) in
          let factor := Z.shiftl 1 (100 - h) in let t := near factor in
          if get t =? factor
          then match fast_mixed h total l with None => None | Some (s, off) =>
            Some (Some (t, s, own_line k), off) end
          else None
      end
  end.

Definition fast_settled (columns : option (float * stored * positive)) : option (stored * Z) :=
  match columns with
  | None => Some (empty, 0)
  | Some (t, l, _) => let x := [(times_one (get t), l)] in fast_mixed 0 (fast_total x) x
  end.

(** ** One unit *)

Section Unit.
Variable m : cells.

Definition look (j : positive) : Z * Z := let c := cell_at m j in (get (c_centre c), get (c_rad c)).

Definition fast_slope (o : cunit) : float :=
  match o with
  | CSilu j =>
      let (lo, hi) := ends_of look j in
      let (least, most) := silu_slopes_fast (cell_below lo) (cell_above hi) in
      let close := Z.shiftr (Z.max (Z.abs lo) (Z.abs hi)) 1 in
      near (Z.shiftr (Z.max least (half - close) + Z.min most (half + close)) 1)
  | CSigmoid j =>
      let (lo, hi) := ends_of look j in
      let (least, most) := sigmoid_slopes_fast (cell_below lo) (cell_above hi) in
      let reach := Z.max (Z.abs lo) (Z.abs hi) in
      near (Z.shiftr (Z.max least (quarter - Z.shiftr (reach * reach) 104) + most) 1)
  | CGate _ j => near (fst (look j))
  | _ => zero
  end.

Definition fast_off (o : cunit) (box : bool) (s : Z) : float :=
  if box then let (l, h) := image look o in near (Z.shiftr (l + h) 1) else
  match o with
  | CSigmoid j =>
      let p := anchor (fst (look j)) in near (fst (sigmoid_value p) - up_100 (s * grid_point p))
  | CSilu j =>
      let p := anchor (fst (look j)) in near (fst (silu_value p) - up_100 (s * grid_point p))
  | _ => zero
  end.

Definition fast_times (e : Z) (l : sparse) : sparse := map (fun x => (up_100 (e * fst x), snd x)) l.

Definition fast_early_kept (kept : sparse) : sparse :=
  fold_right (fun w acc => match c_early (cell_at m (snd w)) with
    | [] => acc
    | l => merge (fast_times (Z.abs (fst w)) l) acc
    end) [] kept.

Definition fast_early_change (o : cunit) (s : Z) : option sparse :=
  match o with
  | CPixel p => Some [(one, key p)]
  | CLinear ws _ over => Some (match over with None => [] | Some _ => fast_early_kept (ones ws) end)
  | CSilu j => match c_early (cell_at m j) with
      | [] => Some []
      | l => let (lo, hi) := ends_of look j in Some (fast_times (silu_dev_fast s lo hi) l)
      end
  | _ =>
      if forallb (fun j => match c_early (cell_at m j) with [] => true | _ => false end)
      (reads_of o) then Some [] else None
  end.

Definition fast_rough (l : sparse) : sparse :=
  map (fun x => (raise 15 (up_of 15 (fst x)), snd x)) l.

(** A sum over the operands of [f], a field of theirs. *)
Definition weighted (f : cell -> float) (kept : sparse) : Z :=
  up_100 (zsum (map (fun w => Z.abs (fst w) * get (f (cell_at m (snd w)))) kept)).
End Unit.

Definition fast_visit (st : state) (o : cunit) (base box : bool) :
  option (state * Backward.visited) :=
  let k := next st in let m := known st in
  if negb (forallb (fun j => Pos.ltb j k) (reads_of o) && (negb box || may_box o)) then None else
  let slope := fast_slope m o in let s := get slope in
  let kept := if box then [] else core_of o s in
  let off := fast_off m o box s in let b := get off in
  let late := fast_early_change m o s in
  match fast_columns st k kept, (if box then fast_early_change m o 0 else late), late with
  | Some (columns, missed), Some bent, Some away =>
      (* values *)
      let middle :=
        times_one (offset_of o b) + zsum (map (fun w => fst w * fst (look m (snd w))) kept) in
      let centre := near (low_100 middle) in let centre_z := get centre in
      let left :=
        if box then let (l, h) := image (look m) o in Z.max (h - b) (b - l)
        else form_rest (look m) o s b in
      let rest := above (1 + left) in let rest_z := get rest in
      let exact := up_100 (Z.abs (middle - times_one centre_z)) + weighted m c_gap kept +
      missed + rest_z in
      let reach :=
        match columns with
        | None => 0
        | Some (t, l, _) => up_100 (Z.abs (get t) * fast_size l)
        end in
      let most := Z.abs centre_z + reach + exact in
      let whole := most + Z.shiftr most 30 + (if base then 0x400000000000000000 else 0x10000) in
      let (noise, fit) := noise_and_fit (look m) whole o in
      let rho := above noise in let rho_z := get rho in
      let err := (if base then on_grain else above) (exact + rho_z) in let err_z := get err in
      let rad := above (reach + err_z) in let rad_z := get rad in
      (* changes *)
      let moved j := get (c_move (cell_at m j)) in
      let early' := fast_rough (merge bent (fast_early_kept m kept)) in
      let rem := apart (look m) moved o s in
      let change := (if box then apart (look m) moved o 0 else rem) + 2 * rho_z +
      weighted m c_gap_own kept + 4 * missed +
        (if base then peak early' else 0) in
      let own := above change in let own_z := get own in
      let early := if base then [] else early' in
      let shift := own_z +
        match columns with
        | None => 0
        | Some (t, l, _) => up_100 (Z.abs (get t) * fast_drift l)
        end in
      let move := above shift in let move_z := get move in
      (* what readers see *)
      let views :=
        if base then
          match fast_settled columns with
          | None => None
          | Some (l, off) => match extended boundary l (index k) (f_int err) with
                             | None => None
                             | Some l' =>
                                 Some (lines st, PositiveMap.add (base_line k) l' (fresh st), off)
                             end
          end
        else Some (match columns with
                   | Some (_, l, p) =>
                       if Pos.eqb p (own_line k) then PositiveMap.add p l (lines st) else lines st
                   | None => lines st
                   end, fresh st, err_z) in
      match views with
      | None => None
      | Some (lines', fresh', lost) =>
          let gap := above lost in let gap_z := get gap in
          let gap_own := if base then above (4 * gap_z) else own in
          let c := {| c_slope := slope; c_centre := centre; c_off := off; c_box := box;
            c_rest := rest; c_rho := rho; c_err := err; c_rad := rad; c_base := base;
            c_line := match columns with None => None | Some (t, _, p) => Some (t, p) end;
            c_gap := gap; c_gap_own := gap_own; c_own := own; c_move := move; c_early := early |} in
          let span := Z.abs centre_z + rad_z in
          if (span - rho_z <=? whole) && (0 <=? whole) && (whole <=? limit) && fit &&
             (0 <=? rho_z) && (rho_z <=? limit) && (noise <=? rho_z) && (left <? rest_z) &&
             (0 <=? err_z) && (exact + rho_z <=? err_z) && (reach + err_z <=? rad_z) &&
             (span <=? limit) &&
             (0 <=? own_z) && (change <=? own_z) && (shift <=? move_z) && (lost <=? gap_z) &&
             (negb base || tame ratio boundary k own_z err_z && (4 * gap_z <=? get gap_own) &&
               (Uint63.to_Z (index k) =? Z.pred (Zpos k))) &&
             ascending early' && all_nonneg early'
          then Some (
            {| next := Pos.succ k; known := PositiveMap.add k c m; lines := lines';
               fresh := fresh' |},
            {| Backward.v_op := o; Backward.v_slope := s; Backward.v_rho := rho_z;
               Backward.v_rem := rem; Backward.v_move := move_z + peak early;
               Backward.v_early := away |})
          else None
      end
  | _, _, _ => None
  end.
End Visit.

Section Walk.
Variables (ratio : Z) (boundary : int).

Fixpoint fast_walk (l : list item) (st : state) (seen : list Backward.visited) :
  option (state * list Backward.visited) :=
  match l with
  | [] => Some (st, seen)
  | Forget :: l' =>
      fast_walk l' {| next := next st; known := known st; lines := fresh st;
        fresh := PositiveMap.empty stored |} seen
  | Unit o base box :: l' =>
      match fast_visit ratio boundary st o base box with
      | None => None
      | Some (st', v) => fast_walk l' st' (v :: seen)
      end
  end.
End Walk.
