(** * The fast checker, as a program: forwards through the units

    Definitions only.

    - [visit]: one unit: it proposes the unit's numbers and decides whether they satisfy what
      Facts.v asks for;
    - [walk]: all units, in order; lines are dropped where the list of items says so.

    The columns of a unit are [scale * line], a line being a list of machine integers, one for each
    base, multiplied with what the base is known within. A unit that reads one other shares its
    line. Pixels are told apart in the first layers only ([c_early]). Stands behind columns.py,
    changes.py and derivation.py. *)

From Coq Require Import ZArith List Bool FMapPositive Uint63.
From Coq Require Sint63.
From Lastbit Require Import checker.Numbers fast.FastZ.
From Lastbit Require Export checker.Asked fast.Lines fast.Cells.
From Lastbit Require fast.Backward.
Import ListNotations.
Open Scope Z_scope.

(** ** Lines *)

(** [fresh]: the lines of bases since lines were last forgotten. *)
Record state :=
  { next : positive; known : cells; lines : PositiveMap.t stored; fresh : PositiveMap.t stored }.

(** What the numbers of a line come to at most, over 2^grain; and over 2^100. *)
Definition bulk (s : stored) : Z := Uint63.to_Z (s_low s) + Uint63.to_Z (s_high s).
Definition size (s : stored) : Z := Z.shiftl (bulk s) (100 - grain).

Section Visit.
(** The own change of a base is at most [ratio / 2^20] of its error before unit [boundary], 4 times
    from it on. *)
Variables (ratio : Z) (boundary : int).

(** How large the change is that a line's bases cause together. *)
Definition drift (s : stored) : Z :=
  up (Z.shiftl (ratio * Uint63.to_Z (s_low s)) (80 - grain) * one) +
  Z.shiftl (4 * Uint63.to_Z (s_high s)) (100 - grain).

(** Whether the own change of a base is as small as that. *)
Definition tame (k : positive) (own err : Z) : bool :=
  if Z.pred (Zpos k) <? Uint63.to_Z boundary then Z.shiftl own 20 <=? ratio * err
  else own <=? 4 * err.

(** Factors over 2^200, by line. *)
Definition parts (m : cells) (kept : sparse) : sparse :=
  fold_right (fun w acc => match view (snd w) (cell_at m (snd w)) with
    | None => acc
    | Some (t, p) => merge [(fst w * val t, p)] acc
    end) [] kept.

(** Factors with the lines that they belong to. *)
Definition found (st : PositiveMap.t stored) (ps : sparse) : option (list (Z * stored)) :=
  fold_right (fun x acc => match acc, PositiveMap.find (snd x) st with
    | Some l, Some s => Some ((fst x, s) :: l)
    | _, _ => None
    end) (Some []) ps.

(** What all come to at most, over 2^100 times the grain. *)
Definition total_of (l : list (Z * stored)) : Z :=
  zsum (map (fun x => (Z.shiftr (Z.abs (fst x)) 100 + 1) * bulk (snd x)) l).

(** A line of [2^h] times all, and how far all are off [2^-h] times it, over 2^100. The sums of the
    machine are [2^e] times the line, below 2^61. *)
Definition mixed (h : Z) (l : list (Z * stored)) : option (stored * Z) :=
  let e := Z.min 40 (160 - Z.log2 (total_of l) - h) in
  if (e <? 0) || (h <? 0) || (99 <? h) then None else
  let n := 200 - e - h in
  let cs := map (fun x => (of_Z (Z.shiftr (fst x + Z.shiftl 1 (n - 1)) n), snd x)) l in
  match combined boundary (of_Z e) cs with
  | None => None
  | Some s => Some (s,
      zsum (map (fun xc =>
        up (up (Z.abs (fst (fst xc) - Z.shiftl (Sint63.to_Z (fst (snd xc))) n)) *
          size (snd (fst xc)))) (combine l cs)) +
      up (Z.shiftl 1 (100 - h) * Z.shiftl (Uint63.to_Z (s_count s)) (100 - grain)))
  end.

(** So large that the line comes to 2^36 or more. *)
Definition gain (l : list (Z * stored)) : Z := Z.max 0 (Z.min 96 (136 - Z.log2 (total_of l))).

(** The columns of unit [k]: factor and line; the line if it is new; how far they are off. *)
Definition columns_for (st : state) (k : positive) (kept : sparse) :
  option (option (float * stored * positive) * Z) :=
  match parts (known st) kept with
  | [] => Some (None, 0)
  | [(x, p)] => match PositiveMap.find p (lines st) with
      | None => None
      | Some s =>
          let t := near (Z.shiftr x 100) in
          Some (Some (t, s, p), up (up (Z.abs (x - val t * one)) * size s))
      end
  | ps => match found (lines st) ps with
      | None => None
      | Some l =>
          let h := gain l in let t := near (Z.shiftl 1 (100 - h)) in
          if val t =? Z.shiftl 1 (100 - h)
          then match mixed h l with None => None | Some (s, off) =>
            Some (Some (t, s, own_line k), off) end
          else None
      end
  end.

(** A line for the columns of a base, and how far it is off. *)
Definition settled (columns : option (float * stored * positive)) : option (stored * Z) :=
  match columns with None => Some (empty, 0) | Some (t, l, _) => mixed 0 [(val t * one, l)] end.

(** ** One unit *)

(** The middle of the slopes on the operand's range, in few digits. *)
Definition slope_for (at_ : positive -> row) (o : cunit) : float :=
  let middle (least most : Z) := near (Z.shiftr (least + most) 1) in
  match o with
  | CSilu j =>
      let lo := low at_ j in let hi := high at_ j in
      let (least, most) := silu_slopes (cell_below lo) (cell_above hi) in
      let close := Z.shiftr (Z.max (Z.abs lo) (Z.abs hi)) 1 in
      middle (Z.max least (half - close)) (Z.min most (half + close))
  | CSigmoid j =>
      let lo := low at_ j in let hi := high at_ j in
      let (least, most) := sigmoid_slopes (cell_below lo) (cell_above hi) in
      let reach := Z.max (Z.abs lo) (Z.abs hi) in
      middle (Z.max least (quarter - Z.shiftr (reach * reach) 104)) most
  | CGate _ j => near (r_centre (at_ j))
  | _ => zero
  end.

(** The offset of the affine form, in few digits. *)
Definition off_for (at_ : positive -> row) (o : cunit) (box : bool) (m : Z) : float :=
  if box then let (l, h) := range_of at_ o in near (Z.shiftr (l + h) 1) else
  match o with
  | CSigmoid j =>
      let p := anchor (r_centre (at_ j)) in near (fst (sigmoid_value_at p) - up (m * grid_point p))
  | CSilu j =>
      let p := anchor (r_centre (at_ j)) in near (fst (silu_value_at p) - up (m * grid_point p))
  | _ => zero
  end.

(** What a pixel's change leaves besides slope [m], in addition to what is so for all pixels. Only
    the operators of the first layers read units whose change depends on the pixel. *)
Definition times (e : Z) (l : sparse) : sparse := map (fun x => (up (e * fst x), snd x)) l.
Definition early_kept (m : cells) (kept : sparse) : sparse :=
  fold_right (fun w acc => match c_early (cell_at m (snd w)) with
    | [] => acc
    | l => merge (times (Z.abs (fst w)) l) acc
    end) [] kept.

(** The same operands, each with weight 1, or 0 where its weight is. *)
Definition ones (ws : sparse) : sparse := map (fun w => (if fst w =? 0 then 0 else 1, snd w)) ws.
Definition early_change (at_ : positive -> row) (m : cells) (o : cunit) (slope : Z) :
  option sparse :=
  match o with
  | CPixel p => Some [(one, key p)]
  | CLinear ws _ over => Some (match over with None => [] | Some _ => early_kept m (ones ws) end)
  | CSilu j => Some (times (silu_dev slope (low at_ j) (high at_ j)) (c_early (cell_at m j)))
  | _ =>
      if forallb (fun j => match c_early (cell_at m j) with [] => true | _ => false end)
      (reads_of o) then Some [] else None
  end.

(** The same operation of images that do not change. *)
Definition still (o : cunit) : cunit := match o with CPixel _ => CLinear [] [] None | _ => o end.

(** Keys ascend, so that each pixel occurs once; the largest number. *)
Fixpoint ascending_from (k : positive) (l : sparse) : bool :=
  match l with [] => true | (_, j) :: l' => Pos.ltb k j && ascending_from j l' end.
Definition ascending (l : sparse) : bool :=
  match l with [] => true | (_, j) :: l' => ascending_from j l' end.
Definition peak (l : sparse) : Z := fold_right (fun x acc => Z.max (fst x) acc) 0 l.
Definition all_nonneg (l : sparse) : bool := forallb (fun x => 0 <=? fst x) l.

(** Numbers in few digits, rounded up. *)
Definition rough (l : sparse) : sparse :=
  map (fun x => (Z.shiftl (- Z.shiftr (- fst x) 60) 60, snd x)) l.

(** One unit: its numbers, and whether they satisfy what is asked of them. *)
Definition visit (st : state) (o : cunit) (base box : bool) : option (state * Backward.visited) :=
  let k := next st in let m := known st in let at_ := row_in m in
  if negb (forallb (fun j => Pos.ltb j k) (reads_of o) && (negb box || may_box o)) then None else
  let slope := slope_for at_ o in let s := val slope in
  let kept := if box then [] else core_of o s in
  let off := off_for at_ o box s in let b := val off in
  match columns_for st k kept, early_change at_ m o (if box then 0 else s),
    early_change at_ m o s with
  | Some (columns, missed), Some bent, Some apart =>
      (* values *)
      let middle :=
        offset_of o b * one + zsum (map (fun w => fst w * r_centre (at_ (snd w))) kept) in
      let centre := near (Z.shiftr middle 100) in
      let rest := above (1 +
        if box then let (l, h) := range_of at_ o in Z.max (h - b) (b - l)
        else value_rest at_ o s b) in
      let exact := up (Z.abs (middle - val centre * one)) +
        up (zsum (map (fun w => Z.abs (fst w) * val (c_gap (cell_at m (snd w)))) kept)) +
        missed + val rest in
      let reach :=
        match columns with None => 0 | Some (t, l, _) => up (Z.abs (val t) * size l) end in
      let most := Z.abs (val centre) + reach + exact in
      let whole := most + Z.shiftr most 30 + (if base then Z.shiftl 1 70 else 0x10000) in
      let rho := above (rounding_of at_ whole o) in
      let err := (if base then on_grain else above) (exact + val rho) in
      let rad := above (reach + val err) in
      (* changes *)
      let moved j := val (c_move (cell_at m j)) in
      let early' := rough (merge bent (early_kept m kept)) in
      let change := change_of at_ 0 moved (still o) (if box then 0 else s) + 2 * val rho +
        up (zsum (map (fun w => Z.abs (fst w) * val (c_gap_own (cell_at m (snd w)))) kept)) +
        4 * missed +
        (if base then peak early' else 0) in
      let own := above change in
      let early := if base then [] else early' in
      let shift := val own +
        match columns with None => 0 | Some (t, l, _) => up (Z.abs (val t) * drift l) end in
      let move := above shift in
      let rem := change_of at_ 0 moved (still o) s in
      (* what readers see *)
      let views :=
        if base then
          match settled columns with
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
                   end, fresh st, val err) in
      match views with
      | None => None
      | Some (lines', fresh', lost) =>
          let gap := above lost in
          let gap_own := if base then above (4 * val gap) else own in
          let c := {| c_slope := slope; c_centre := centre; c_off := off; c_box := box;
            c_rest := rest; c_rho := rho; c_err := err; c_rad := rad; c_base := base;
            c_line := match columns with None => None | Some (t, _, p) => Some (t, p) end;
            c_gap := gap; c_gap_own := gap_own; c_own := own; c_move := move; c_early := early |} in
          let r := row_of_cell c in
          if (Z.abs (r_centre r) + r_rad r - r_rho r <=? whole) && (0 <=? whole) &&
            (whole <=? limit) && fits at_ o &&
             (0 <=? r_rho r) && (r_rho r <=? limit) && (rounding_of at_ whole o <=? r_rho r) &&
             (rest_of at_ o r <? r_rest r) &&
             (0 <=? r_err r) && (exact + r_rho r <=? r_err r) && (reach + r_err r <=? r_rad r) &&
             (Z.abs (r_centre r) + r_rad r <=? limit) &&
             (0 <=? val own) && (change <=? val own) && (shift <=? val move) &&
             (lost <=? val gap) &&
             (negb base || tame k (val own) (r_err r) && (4 * val gap <=? val gap_own) &&
               (Uint63.to_Z (index k) =? Z.pred (Zpos k))) &&
             ascending early' && all_nonneg early'
          then Some (
            {| next := Pos.succ k; known := PositiveMap.add k c m; lines := lines';
               fresh := fresh' |},
            {| Backward.v_op := o; Backward.v_slope := s; Backward.v_rho := r_rho r;
               Backward.v_rem := rem; Backward.v_move := val move + peak early;
               Backward.v_early := apart |})
          else None
      end
  | _, _, _ => None
  end.
End Visit.

(** ** All units *)

(** [Forget]: from here on only bases since the last [Forget] are read. *)
Inductive item := Unit (o : cunit) (base box : bool) | Forget.

Section Walk.
Variables (ratio : Z) (boundary : int).

(** The units visited, last one first. *)
Fixpoint walk (l : list item) (st : state) (seen : list Backward.visited) :
  option (state * list Backward.visited) :=
  match l with
  | [] => Some (st, seen)
  | Forget :: l' =>
      walk l' {| next := next st; known := known st; lines := fresh st;
        fresh := PositiveMap.empty stored |} seen
  | Unit o base box :: l' =>
      match visit ratio boundary st o base box with
      | None => None
      | Some (st', v) => walk l' st' (v :: seen)
      end
  end.
End Walk.

(** Before the first unit. *)
Definition start : state :=
  {| next := 1%positive; known := PositiveMap.empty cell; lines := PositiveMap.empty stored;
  fresh := PositiveMap.empty stored |}.
