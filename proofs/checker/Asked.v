(** * What each rule of the checker asks for

    Definitions only.

    - [good_row]: the inequalities that a row has to satisfy, given the rows of earlier units.

    Stands behind layers.py, changes.py and columns.py. *)

From Coq Require Import ZArith List Orders Mergesort Bool.
From Lastbit Require Export checker.Networks.
Import ListNotations.
Open Scope Z_scope.

Module Descending <: TotalLeBool.
  Definition t := Z.
  Definition leb (a b : Z) : bool := b <=? a.
  Theorem leb_total a b : leb a b = true \/ leb b a = true.
  Proof. unfold leb. destruct (Z.leb_spec b a); [now left|right]. now apply Z.leb_le, Z.lt_le_incl.
  Qed.
End Descending.
Module Sorting := Sort Descending.

(** The partial sums of [m] from [s] on, none above [c], but for the last one, [f]. *)
Fixpoint partials_of (c s : Z) (m : list Z) : Z :=
  match m with
  | [] | [_] => 0
  | x :: m' => Z.min (s + x) c + partials_of c (s + x) m'
  end.

Definition climb_of (c f : Z) (m : list Z) : Z :=
  match m with [] | [_] => 0 | x :: m' => partials_of c x m' + f end.

Fixpoint one_bit (p : positive) : bool :=
  match p with xH => true | xO q => one_bit q | xI _ => false end.
Definition power_of_2 (z : Z) : bool := match z with Z0 => false | Zpos p | Zneg p => one_bit p end.

(** No value is larger than 2^20, the weights of a unit are not together larger than 2^45, and no
    sum has more than 2^15 terms. *)
Definition limit : Z := 0x100000 * one.
Definition heaviest : Z := 0x200000000000 * one.
Definition most_terms : Z := 0x8000.

(** Rounding of a sum of terms [bs], [products] of them for the products that round, [whole] its
    bound (all over 2^200). No term costs more than 3 roundings. *)
Definition noise_of_sum (bs : list Z) (products whole : Z) : Z :=
  let m := Sorting.sort (filter (fun x => negb (x =? 0)) bs) in
  let n := Z.of_nat (length m) in
  let mass := zsum m in
  let f := Z.min whole mass in
  ceil_div (up (climb_of (Z.shiftr (mass + f + 1) 1) f m + products)) (0xfffffd - n) + 0x8000000.

(** Not too many terms, nor too large ones: no overflow, and underflow below 2^27 units. *)
Definition sum_fits (bs : list Z) (weights : Z) : bool :=
  (Z.of_nat (length bs) <=? most_terms) && (weights <=? heaviest) && (zsum bs <=? limit * limit).

(** A divisor, and the weights that are divided. *)
Definition over_fits (over : option Z) (weights : Z) : bool :=
  match over with None => true | Some c =>
    (one <=? Z.abs c) && (Z.abs c <=? limit) && (weights <=? limit) end.

(** Over 2^200, divided as well. *)
Definition quotient_of (over : option Z) (z : Z) : Z :=
  match over with None => z | Some c => ceil_div (z * one) (Z.abs c) end.

(** The roundings that a term costs. *)
Definition cost_over (over : option Z) : Z :=
  match over with None => 0 | Some c => if power_of_2 c then 0 else 2 end.
Definition cost_of (over : option Z) (w : Z) : Z :=
  (if power_of_2 w then 0 else 1) + cost_over over.

Section Rules.
Variable at_ : positive -> row.

Definition mag (j : positive) : Z := Z.abs (r_centre (at_ j)) + r_rad (at_ j).
Definition low (j : positive) : Z := r_centre (at_ j) - r_rad (at_ j).
Definition high (j : positive) : Z := r_centre (at_ j) + r_rad (at_ j).
Definition away (m : Z) (j : positive) : Z := Z.max (high j - m) (m - low j).

Definition zproducts (ws : sparse) (over : option Z) : list Z :=
  map (fun w => quotient_of over (Z.abs (fst w) * mag (snd w))) ws.
Definition zcharges (ws : sparse) (over : option Z) : Z :=
  zsum (map (fun w => cost_of over (fst w) * quotient_of over (Z.abs (fst w) * mag (snd w))) ws).
Definition zterms (ws : sparse) (bs : list Z) (over : option Z) : list Z :=
  zproducts ws over ++ map (fun b => one * Z.abs b) bs.

(** [whole] bounds the unit's exact value. *)
Definition rounding_of (whole : Z) (o : cunit) : Z :=
  match o with
  | CPixel _ => 0
  | CLinear ws bs over => noise_of_sum (zterms ws bs over) (zcharges ws over) (one * whole)
  | CSigmoid j =>
      Z.shiftr one
        (if mag j <=? Z.shiftr one 27 then 28 else if mag j <=? Z.shiftr one 6 then 23 else 22)
  | CSilu j =>
      (if mag j <=? Z.shiftr one 27 then ceil_div (mag j) 0x10000000
       else if mag j <=? Z.shiftr one 6 then ceil_div (3 * mag j) 0x1000000
       else ceil_div (6 * mag j) 0x1000000) + 1
  | CGate i j => ceil_div (up (mag i * mag j)) 0x1000000 + 1
  end.

Definition fits (o : cunit) : bool :=
  match o with
  | CLinear ws bs over =>
      let weights := zsum (map (fun w => Z.abs (fst w)) ws) in
      sum_fits (zterms ws bs over) weights && over_fits over weights
  | _ => true
  end.

(** A number for each unit whose weight is not 0. *)
Definition counted (f : positive -> Z) (ws : sparse) : Z :=
  zsum (map (fun w => if fst w =? 0 then 0 else f (snd w)) ws).

(** [f(z) - m z - b] on the range of unit [j], from its value and slopes around a point. *)
Definition curve_rest (dev : Z -> Z -> Z -> Z) (value : Z -> Z * Z) (m b : Z) (j : positive) : Z :=
  let k := anchor (r_centre (at_ j)) in let p := grid_point k in let (l, h) := value k in
  up (dev m (Z.min p (low j)) (Z.max p (high j)) * Z.max (high j - p) (p - low j)) +
  up (Z.max (h * one - m * p - b * one) (b * one + m * p - l * one)).

Definition value_rest (o : cunit) (m b : Z) : Z :=
  match o with
  | CPixel _ => 255 * half
  | CLinear ws _ over => match over with None => 0 | Some _ => up (counted mag ws) end
  | CSigmoid j => curve_rest sigmoid_dev sigmoid_value_at m b j
  | CSilu j => curve_rest silu_dev silu_value_at m b j
  | CGate i j => up (away m j * mag i) + Z.abs b
  end.

(** The image of the operands' ranges, for units that may be boxed. *)
Definition range_of (o : cunit) : Z * Z :=
  match o with
  | CSigmoid j => sigmoid_values (cell_below (low j)) (cell_above (high j))
  | CSilu j => silu_values (cell_below (low j)) (cell_above (high j)) (high j)
  | CGate i j =>
      let a := low i * low j in let b := low i * high j in let c := high i * low j in
      let d := high i * high j in
      (Z.shiftr (Z.min (Z.min a b) (Z.min c d)) 100, up (Z.max (Z.max a b) (Z.max c d)))
  | _ => (0, 0)
  end.

Definition rest_of (o : cunit) (r : row) : Z :=
  if r_box r then let (l, h) := range_of o in Z.max (h - r_off r) (r_off r - l)
  else value_rest o (r_slope r) (r_off r).

Definition vsum (l : list (Z * list Z)) : list Z :=
  fold_right (fun x acc => vadd (vscale (fst x) (snd x)) acc) [] l.

Definition change_rest (o : cunit) (m : Z) : list Z :=
  match o with
  | CPixel p => repeat 0 p ++ [one]
  | CLinear ws _ over => match over with None => [] | Some _ =>
      vup (vsum (map (fun w => (if fst w =? 0 then 0 else 1, r_move (at_ (snd w)))) ws)) end
  | CSigmoid j => vup (vsum [(sigmoid_dev m (low j) (high j), r_move (at_ j))])
  | CSilu j => vup (vsum [(silu_dev m (low j) (high j), r_move (at_ j))])
  | CGate i j => vup (vsum [(away m j, r_move (at_ i)); (mag i, r_move (at_ j))])
  end.

(** The same for one pixel [q], from bounds [mv] of the operands' changes. *)
Definition change_of (q : nat) (mv : positive -> Z) (o : cunit) (m : Z) : Z :=
  match o with
  | CPixel p => if Nat.eqb p q then one else 0
  | CLinear ws _ over => match over with None => 0 | Some _ => up (counted mv ws) end
  | CSigmoid j => up (sigmoid_dev m (low j) (high j) * mv j)
  | CSilu j => up (silu_dev m (low j) (high j) * mv j)
  | CGate i j => up (away m j * mv i + mag i * mv j)
  end.

Definition bend_by (q : nat) (mv : positive -> Z) (o : cunit) (r : row) : Z :=
  if r_box r then Z.min (2 * r_rest r) (change_of q mv o 0) else change_of q mv o (r_slope r).

(** A box stays a box: no change is larger than its width. *)
Definition bend_of (o : cunit) (r : row) : list Z :=
  if r_box r then map (Z.min (2 * r_rest r)) (change_rest o 0) else change_rest o (r_slope r).

(** The image of the operands' columns, over 2^200, and its misfit with the columns kept. *)
Definition image_of (k : sparse) (start : sparse) : sparse :=
  fold_right (fun w acc => merge (scaled (fst w) (r_cols (at_ (snd w)) ++ [(one, snd w)])) acc)
  start k.

Definition misfit_of (o : cunit) (r : row) : sparse :=
  map (fun x => (up (Z.abs (fst x)), snd x)) (image_of (kept_of o r) (scaled (- one) (r_cols r))).

Definition weigh (f : positive -> Z) (l : sparse) : Z :=
  zsum (map (fun x => Z.abs (fst x) * f (snd x)) l).
Definition vweigh (f : positive -> list Z) (l : sparse) : list Z :=
  vsum (map (fun x => (Z.abs (fst x), f (snd x))) l).

Definition centre_gap (o : cunit) (r : row) : Z :=
  offset_of o (r_off r) * one +
  zsum (map (fun w => fst w * r_centre (at_ (snd w))) (kept_of o r)) - r_centre r * one.

Definition own_error (o : cunit) (r : row) : Z :=
  up (Z.abs (centre_gap o r)) + up (weigh (fun g => r_err (at_ g)) (misfit_of o r)) +
  r_rest r + r_rho r.

(** Entries of the misfit that are as small as roundings are taken together. *)
Definition crumb (x : Z * positive) : bool := fst x <=? 0x1000000.

Definition own_change (pixels : nat) (cap : Z) (o : cunit) (r : row) : list Z :=
  let (small, large) := partition crumb (misfit_of o r) in
  let fixed := up (weigh (fun _ => cap) small) + 2 * r_rho r in
  vadd (vup (vweigh (fun g => r_own (at_ g)) large)) (vadd (r_bend r) (repeat fixed pixels)).

Definition radius_of (r : row) : Z := up (weigh (fun g => r_err (at_ g)) (r_cols r)) + r_err r.
Definition moves_of (r : row) : list Z :=
  vadd (vup (vweigh (fun g => r_own (at_ g)) (r_cols r))) (r_own r).

(** The range of a unit before its own rounding. *)
Definition whole_of (k : positive) : Z := mag k - r_rho (at_ k).

Definition good_row (pixels : nat) (cap : Z) (ko : positive * cunit) : bool :=
  let (k, o) := ko in let r := at_ k in
  forallb (fun j => Pos.ltb j k) (reads_of o) && forallb (fun x => Pos.ltb (snd x) k) (r_cols r) &&
  fits o && (0 <=? r_rho r) && (0 <=? whole_of k) && (rounding_of (whole_of k) o <=? r_rho r) &&
    (r_rho r <=? limit) && (rest_of o r <=? r_rest r) &&
  (negb (r_box r) || may_box o) && vle (change_rest o (r_slope r)) (r_rem r) &&
  vle (bend_of o r) (r_bend r) && (0 <=? r_err r) && (own_error o r <=? r_err r) &&
  forallb (fun x => (0 <=? x) && (x <=? cap)) (r_own r) &&
  vle (own_change pixels cap o r) (r_own r) &&
  (radius_of r <=? r_rad r) && vle (moves_of r) (r_move r) && (mag k <=? limit).
End Rules.
