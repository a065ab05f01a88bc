(** * The fast checker, as a program: forwards through the units

    Definitions only.

    - [cell]: what is kept of a unit, in machine integers; [row_of_cell]: as a row of Asked.v;
    - [visit]: one unit: it proposes the unit's numbers and decides whether they satisfy what Facts.v
      asks for;
    - [walk]: all units, in order; lines are dropped where the list of items says so.

    The columns of a unit are [scale * line], a line being a list of machine integers, one for each
    base, multiplied with what the base is known within. A unit that reads one other shares its line.
    Pixels are told apart in the first layers only ([c_early]). Stands behind columns.py, forward.py and
    check.py. *)

From Coq Require Import ZArith List Bool FMapPositive Uint63.
From Coq Require Sint63.
From Lastbit Require Import checker.Numbers.
From Lastbit Require Export checker.Asked checker.Lines.
From Lastbit Require checker.Backward.
Import ListNotations.
Open Scope Z_scope.

(** ** Machine integers on grids *)

Definition over (bits : Z) (i : int) : Z := Z.shiftl (Sint63.to_Z i) (100 - bits).
Definition near (bits z : Z) : int := of_Z (Z.shiftr (z + Z.shiftl 1 (99 - bits)) (100 - bits)).
Definition above (bits z : Z) : int := of_Z (- Z.shiftr (- z) (100 - bits)).

Definition grain : Z := 32.                    (* entries of lines, errors: over 2^32 *)

Record cell := {
  c_slope : int;                               (* over 2^40, as the next two *)
  c_centre : int;
  c_off : int;
  c_box : bool;
  c_rest : int;                                (* over 2^50 *)
  c_rho : int;                                 (* over 2^56 *)
  c_err : int;                                 (* over 2^32 *)
  c_rad : int;                                 (* over 2^40 *)
  c_base : bool;
  c_line : option (int * positive);            (* columns: a factor over 2^40, and a line *)
  c_gap : int;                                 (* over 2^40: what a reader's line misses of this unit *)
  c_gap_own : int;                             (* over 2^50: the same, of its change *)
  c_own : int;                                 (* over 2^50: what it adds to its change *)
  c_move : int;                                (* over 2^50: bound of its change *)
  c_early : sparse                             (* by pixel: in addition to both *)
}.

Definition row_of_cell (c : cell) : row := {|
  r_slope := over 40 (c_slope c); r_centre := over 40 (c_centre c); r_off := over 40 (c_off c); r_box := c_box c;
  r_rest := over 50 (c_rest c); r_rho := over 56 (c_rho c); r_err := over grain (c_err c); r_rad := over 40 (c_rad c);
  r_cols := []; r_bend := []; r_rem := []; r_own := []; r_move := []; r_duals := [] |}.

Definition cells := PositiveMap.t cell.
Definition blank_cell : cell := {| c_slope := 0%uint63; c_centre := 0%uint63; c_off := 0%uint63; c_box := false; c_rest := 0%uint63;
  c_rho := 0%uint63; c_err := 0%uint63; c_rad := 0%uint63; c_base := false; c_line := None; c_gap := 0%uint63; c_gap_own := 0%uint63;
  c_own := 0%uint63; c_move := 0%uint63; c_early := [] |}.
Definition cell_at (m : cells) (j : positive) : cell := match PositiveMap.find j m with Some c => c | None => blank_cell end.
Definition row_in (m : cells) (j : positive) : row := row_of_cell (cell_at m j).

Definition index (k : positive) : int := of_Z (Z.pred (Zpos k)).
Definition own_line (k : positive) : positive := xO k.
Definition base_line (k : positive) : positive := xI k.

(** The columns that a reader sees: a base is 1 times its own line. *)
Definition view (k : positive) (c : cell) : option (int * positive) :=
  if c_base c then Some (0x10000000000%uint63, base_line k) else c_line c.

(** ** Lines *)

(** [fresh]: the lines of bases since lines were last forgotten. *)
Record state := { next : positive; known : cells; lines : PositiveMap.t stored; fresh : PositiveMap.t stored }.

(** Sizes over 2^100. *)
Definition size (s : stored) : Z := Z.shiftl (Uint63.to_Z (s_low s) + Uint63.to_Z (s_high s)) (100 - grain).

Section Visit.
(** The own change of a base is at most [ratio / 2^20] of its error before unit [boundary], 4 times from it on. *)
Variables (ratio : Z) (boundary : int).

Definition drift (s : stored) : Z :=
  up (Z.shiftl (ratio * Uint63.to_Z (s_low s)) (80 - grain) * one) + Z.shiftl (4 * Uint63.to_Z (s_high s)) (100 - grain).

(** Whether the own change of a base is as small as that. *)
Definition tame (k : positive) (own err : Z) : bool :=
  if Z.pred (Zpos k) <? Uint63.to_Z boundary then Z.shiftl own 20 <=? ratio * err else own <=? 4 * err.

(** Factors over 2^200, by line. *)
Definition parts (m : cells) (kept : sparse) : sparse :=
  fold_right (fun w acc => match view (snd w) (cell_at m (snd w)) with
    | None => acc
    | Some (t, p) => merge [(fst w * over 40 t, p)] acc
    end) [] kept.

Definition found (st : PositiveMap.t stored) (ps : sparse) : option (list (Z * stored)) :=
  fold_right (fun x acc => match acc, PositiveMap.find (snd x) st with
    | Some l, Some s => Some ((fst x, s) :: l)
    | _, _ => None
    end) (Some []) ps.

(** [e] fraction bits of factors, so that 2^61 is not exceeded. *)
Definition digits (l : list (Z * stored)) : Z :=
  61 - Z.log2 (zsum (map (fun x => (Z.shiftr (Z.abs (fst x)) 160 + 1) * (Uint63.to_Z (s_low (snd x)) + Uint63.to_Z (s_high (snd x)))) l) + 1) + 40.

(** A line of all, and how far it may be off, over 2^100. *)
Definition mixed (l : list (Z * stored)) : option (stored * Z) :=
  let e := Z.min 40 (digits l) in
  if e <? 0 then None else
  let cs := map (fun x => (of_Z (Z.shiftr (fst x + Z.shiftl 1 (199 - e)) (200 - e)), snd x)) l in
  match combined boundary (of_Z e) cs with
  | None => None
  | Some s => Some (s, zsum (map (fun xc => up (up (Z.abs (fst (fst xc) - Z.shiftl (Sint63.to_Z (fst (snd xc))) (200 - e))) * size (snd (fst xc))))
                              (combine l cs)) + Z.shiftl (Uint63.to_Z (s_count s)) (100 - grain))
  end.

(** The columns of unit [k]: factor and line; the line if it is new; how far they are off. *)
Definition columns_for (st : state) (k : positive) (kept : sparse) : option (option (int * stored * positive) * Z) :=
  match parts (known st) kept with
  | [] => Some (None, 0)
  | [(x, p)] => match PositiveMap.find p (lines st) with
      | None => None
      | Some s => let t := near 40 (Z.shiftr x 100) in Some (Some (t, s, p), up (up (Z.abs (x - over 40 t * one)) * size s))
      end
  | ps => match found (lines st) ps with
      | None => None
      | Some l => match mixed l with None => None | Some (s, off) => Some (Some (0x10000000000%uint63, s, own_line k), off) end
      end
  end.

(** A line for the columns of a base, and how far it is off. *)
Definition settled (columns : option (int * stored * positive)) : option (stored * Z) :=
  match columns with None => Some (empty, 0) | Some (t, l, _) => mixed [(over 40 t * one, l)] end.

(** ** One unit *)

(** The middle of the slopes on the operand's range, over 2^40. *)
Definition slope_for (at_ : positive -> row) (o : cunit) : int :=
  let middle (least most : Z) := near 40 (Z.shiftr (least + most) 1) in
  match o with
  | CQuotient _ c => near 40 (one * one / c)
  | CMean js => near 40 (one * one / length_of js)
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
  | CGate _ j => near 40 (r_centre (at_ j))
  | _ => 0%uint63
  end.

Definition off_for (at_ : positive -> row) (o : cunit) (box : bool) (m : Z) : int :=
  if box then let (l, h) := range_of at_ o in near 40 (Z.shiftr (l + h) 1) else
  match o with
  | CSigmoid j => let p := anchor (r_centre (at_ j)) in near 40 (fst (sigmoid_value_at p) - up (m * grid_point p))
  | CSilu j => let p := anchor (r_centre (at_ j)) in near 40 (fst (silu_value_at p) - up (m * grid_point p))
  | _ => 0%uint63
  end.

(** What a pixel's change leaves besides slope [m], in addition to what is so for all pixels. Only the
    operators of the first layers read units whose change depends on the pixel. *)
Definition times (e : Z) (l : sparse) : sparse := map (fun x => (up (e * fst x), snd x)) l.
Definition early_change (at_ : positive -> row) (m : cells) (o : cunit) (slope : Z) : option sparse :=
  match o with
  | CPixel p => Some [(one, key p)]
  | CQuotient j c => Some (times (slack slope c) (c_early (cell_at m j)))
  | CSilu j => Some (times (silu_dev slope (low at_ j) (high at_ j)) (c_early (cell_at m j)))
  | CLinear _ _ => Some []
  | _ => if forallb (fun j => match c_early (cell_at m j) with [] => true | _ => false end) (reads_of o) then Some [] else None
  end.
Definition early_kept (m : cells) (kept : sparse) : sparse :=
  fold_right (fun w acc => match c_early (cell_at m (snd w)) with
    | [] => acc
    | l => merge (times (Z.abs (fst w)) l) acc
    end) [] kept.

(** The same operation of images that do not change. *)
Definition still (o : cunit) : cunit := match o with CPixel _ => CLinear [] [] | _ => o end.

(** Keys ascend, so that each pixel occurs once; the largest number. *)
Fixpoint ascending_from (k : positive) (l : sparse) : bool :=
  match l with [] => true | (_, j) :: l' => Pos.ltb k j && ascending_from j l' end.
Definition ascending (l : sparse) : bool := match l with [] => true | (_, j) :: l' => ascending_from j l' end.
Definition peak (l : sparse) : Z := fold_right (fun x acc => Z.max (fst x) acc) 0 l.
Definition all_nonneg (l : sparse) : bool := forallb (fun x => 0 <=? fst x) l.

Definition rough (l : sparse) : sparse := map (fun x => (Z.shiftl (- Z.shiftr (- fst x) 60) 60, snd x)) l.

Definition visit (st : state) (o : cunit) (base box : bool) : option (state * Backward.visited) :=
  let k := next st in let m := known st in let at_ := row_in m in
  if negb (forallb (fun j => Pos.ltb j k) (reads_of o) && (negb box || may_box o)) then None else
  let slope := slope_for at_ o in let s := over 40 slope in
  let kept := if box then [] else core_of o s in
  let off := off_for at_ o box s in let b := over 40 off in
  match columns_for st k kept, early_change at_ m o (if box then 0 else s), early_change at_ m o s with
  | Some (columns, missed), Some bent, Some apart =>
      (* values *)
      let middle := offset_of o b * one + zsum (map (fun w => fst w * r_centre (at_ (snd w))) kept) in
      let centre := near 40 (Z.shiftr middle 100) in
      let rest := above 50 (1 + if box then let (l, h) := range_of at_ o in Z.max (h - b) (b - l) else value_rest at_ o s b) in
      let exact := up (Z.abs (middle - over 40 centre * one)) +
        up (zsum (map (fun w => Z.abs (fst w) * over 40 (c_gap (cell_at m (snd w)))) kept)) + missed + over 50 rest in
      let reach := match columns with None => 0 | Some (t, l, _) => up (Z.abs (over 40 t) * size l) end in
      let whole := Z.abs (over 40 centre) + reach + exact + Z.shiftl 1 72 in
      let rho := above 56 (rounding_of at_ whole o) in
      let err := above grain (exact + over 56 rho) in
      let rad := above 40 (reach + over grain err) in
      (* changes *)
      let moved j := over 50 (c_move (cell_at m j)) in
      let early' := rough (merge bent (early_kept m kept)) in
      let change := change_of at_ 0 moved (still o) (if box then 0 else s) + 2 * over 56 rho +
        up (zsum (map (fun w => Z.abs (fst w) * over 50 (c_gap_own (cell_at m (snd w)))) kept)) + 4 * missed +
        (if base then peak early' else 0) in
      let own := above 50 change in
      let early := if base then [] else early' in
      let shift := over 50 own + match columns with None => 0 | Some (t, l, _) => up (Z.abs (over 40 t) * drift l) end in
      let move := above 50 shift in
      let rem := change_of at_ 0 moved (still o) s in
      (* what readers see *)
      let views := if base then
          match settled columns with
          | None => None
          | Some (l, off) => match extended boundary l (index k) err with
                             | None => None
                             | Some l' => Some (lines st, PositiveMap.add (base_line k) l' (fresh st), off)
                             end
          end
        else Some (match columns with
                   | Some (_, l, p) => if Pos.eqb p (own_line k) then PositiveMap.add p l (lines st) else lines st
                   | None => lines st
                   end, fresh st, over grain err) in
      match views with
      | None => None
      | Some (lines', fresh', lost) =>
          let gap := above 40 lost in
          let gap_own := if base then of_Z (Sint63.to_Z gap * 4096) else own in
          let c := {| c_slope := slope; c_centre := centre; c_off := off; c_box := box; c_rest := rest; c_rho := rho; c_err := err; c_rad := rad;
            c_base := base; c_line := match columns with None => None | Some (t, _, p) => Some (t, p) end; c_gap := gap;
            c_gap_own := gap_own; c_own := own; c_move := move; c_early := early |} in
          let r := row_of_cell c in
          if (Z.abs (r_centre r) + r_rad r - r_rho r <=? whole) && (0 <=? whole) && (whole <=? limit) && fits at_ whole o &&
             (0 <=? r_rho r) && (r_rho r <=? limit) && (rounding_of at_ whole o <=? r_rho r) && (rest_of at_ o r <? r_rest r) &&
             (0 <=? r_err r) && (exact + r_rho r <=? r_err r) && (reach + r_err r <=? r_rad r) && (Z.abs (r_centre r) + r_rad r <=? limit) &&
             (0 <=? over 50 own) && (change <=? over 50 own) && (shift <=? over 50 move) && (lost <=? over 40 gap) &&
             (negb base || tame k (over 50 own) (r_err r) && (4 * over 40 gap <=? over 50 gap_own) && (Uint63.to_Z (index k) =? Z.pred (Zpos k))) &&
             ascending early' && all_nonneg early'
          then Some ({| next := Pos.succ k; known := PositiveMap.add k c m; lines := lines'; fresh := fresh' |},
                     {| Backward.v_op := o; Backward.v_slope := s; Backward.v_rho := r_rho r; Backward.v_rem := rem; Backward.v_move := over 50 move + peak early; Backward.v_early := apart |})
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
Fixpoint walk (l : list item) (st : state) (seen : list Backward.visited) : option (state * list Backward.visited) :=
  match l with
  | [] => Some (st, seen)
  | Forget :: l' => walk l' {| next := next st; known := known st; lines := fresh st; fresh := PositiveMap.empty stored |} seen
  | Unit o base box :: l' =>
      match visit ratio boundary st o base box with
      | None => None
      | Some (st', v) => walk l' st' (v :: seen)
      end
  end.
End Walk.

Definition start : state := {| next := 1%positive; known := PositiveMap.empty cell; lines := PositiveMap.empty stored; fresh := PositiveMap.empty stored |}.
