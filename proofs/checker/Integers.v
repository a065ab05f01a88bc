(** * Integers over 2^100: the checker's numbers, vectors and curves

    Definitions only. [z] stands for [z / 2^100]; a product of two is an integer over [2^200], and
    [up] brings it back, rounded up. Sparse vectors hold units in ascending order, dense ones pixels
    or classes. Curves are enclosed at the points k/64 by powers of exp(1/64), and between them as
    in curves/Enclosure.v. What all this means is proved in Numbers.v and Curves.v. Stands behind
    exact.py and enclosure.py. *)

From Coq Require Import ZArith List Bool.
Import ListNotations.
Open Scope Z_scope.

(** ** Numbers *)

Definition one : Z := 0x10000000000000000000000000.          (* 2^100 *)
Definition up (z : Z) : Z := - Z.shiftr (- z) 100.
Definition ceil_div (a b : Z) : Z := - (- a / b).            (* b > 0 *)
Definition zsum (l : list Z) : Z := fold_right Z.add 0 l.

(** Sparse vectors: numbers and the units that they belong to, in ascending order. *)
Definition sparse := list (Z * positive).

Definition scaled (w : Z) (l : sparse) : sparse := map (fun x => (w * fst x, snd x)) l.

Fixpoint merge (a : sparse) : sparse -> sparse :=
  match a with
  | [] => fun b => b
  | (x, i) :: a' =>
      fix go (b : sparse) : sparse :=
        match b with
        | [] => a
        | (y, j) :: b' =>
            match Pos.compare i j with
            | Lt => (x, i) :: merge a' b
            | Eq => (x + y, i) :: merge a' b'
            | Gt => (y, j) :: go b'
            end
        end
  end.

(** Dense vectors over pixels or classes; what is missing at the end is 0. *)
Fixpoint vadd (a b : list Z) : list Z :=
  match a, b with
  | [], _ => b
  | _, [] => a
  | x :: a', y :: b' => x + y :: vadd a' b'
  end.

Definition vscale (w : Z) (a : list Z) : list Z := if w =? 0 then [] else map (Z.mul w) a.
Definition vup (a : list Z) : list Z := map up a.
Definition vle (a b : list Z) : bool := forallb (fun d => 0 <=? d) (vadd b (map Z.opp a)).

(** ** Curves: enclosures at the points k/64, as in enclosure.py *)

Definition fine : Z := 0x10000000000000000.                  (* 2^64 *)

(** [f^p] over [2^64], rounded down or up. *)
Fixpoint power (round : Z -> Z) (f : Z) (p : positive) : Z :=
  match p with
  | xH => f
  | xO q => let s := power round f q in round (s * s)
  | xI q => let s := power round f q in round (round (s * s) * f)
  end.

Definition down64 (z : Z) : Z := Z.shiftr z 64.
Definition up64 (z : Z) : Z := - Z.shiftr (- z) 64.

(** exp(1/64) lies between these, over 2^64. *)
Definition exp_low : Z := 18737238023755501946.
Definition exp_high : Z := 18737238023755501947.

Definition exp_at (k : Z) : Z * Z :=                         (* k >= 0 *)
  match k with
  | Zpos p => (power down64 exp_low p, power up64 exp_high p)
  | _ => (fine, fine)
  end.

Definition sigmoid_at (k : Z) : Z * Z :=                     (* k >= 0, over 2^64 *)
  let (l, h) := exp_at k in (l * fine / (fine + l), ceil_div (h * fine) (fine + h)).

(** silu' and sigmoid' at k/64, over 2^100. *)
Definition silu_slope_at (k : Z) : Z * Z :=
  let a := Z.abs k in let (l, h) := sigmoid_at a in
  let low := Z.shiftr (l * (64 * fine + a * (fine - h))) 34 in
  let high := - Z.shiftr (- (h * (64 * fine + a * (fine - l)))) 34 in
  if k <? 0 then (one - high, one - low) else (low, high).

Definition sigmoid_slope_at (k : Z) : Z * Z :=
  let (l, h) := sigmoid_at (Z.abs k) in
  (Z.shiftr (l * (fine - h)) 28, - Z.shiftr (- (h * (fine - l))) 28).

Definition cell_below (z : Z) : Z := Z.shiftr z 94.          (* floor (64 z) *)
Definition cell_above (z : Z) : Z := - Z.shiftr (- z) 94.

Definition far : Z := 6400.
Definition tabulated (low high : Z) : bool := (- far <=? low) && (high <=? far).

Definition half : Z := one / 2.
Definition quarter : Z := one / 4.

(** What the slopes on a cell lie between, by the values at its ends. *)
Definition silu_slopes (low high : Z) : Z * Z :=
  let valley := - (9984 * one / 100000 + 1) in
  let hill := 109984 * one / 100000 + 1 in
  if tabulated low high then
    let (a, b) := silu_slope_at low in let (c, d) := silu_slope_at high in
    (if (low <=? -153) && (-154 <=? high) then valley else Z.min a c,
     if (low <=? 154) && (153 <=? high) then hill else Z.max b d)
  else (valley, hill).

Definition sigmoid_slopes (low high : Z) : Z * Z :=
  if tabulated low high then
    let (a, b) := sigmoid_slope_at low in let (c, d) := sigmoid_slope_at high in
    (Z.min a c, if (low <=? 0) && (0 <=? high) then quarter else Z.max b d)
  else (0, quarter).

(** Every slope on [[lo, hi]] is within this of [m]; near 0 there are sharper bounds. *)
Definition silu_dev (m lo hi : Z) : Z :=
  let (least, most) := silu_slopes (cell_below lo) (cell_above hi) in
  let near := ceil_div (Z.max (Z.abs lo) (Z.abs hi)) 2 in
  Z.max (Z.min most (half + near) - m) (m - Z.max least (half - near)).

Definition sigmoid_dev (m lo hi : Z) : Z :=
  let (least, most) := sigmoid_slopes (cell_below lo) (cell_above hi) in
  let reach := Z.max (Z.abs lo) (Z.abs hi) in
  let near := ceil_div (up (reach * reach)) 16 in
  Z.max (Z.min most quarter - m) (m - Z.max least (quarter - near)).

(** Values at k/64, over 2^100. *)
Definition sigmoid_value_at (k : Z) : Z * Z :=
  let (l, h) := sigmoid_at (Z.abs k) in
  let low := Z.shiftl l 36 in let high := Z.shiftl h 36 in
  if k <? 0 then (one - high, one - low) else (low, high).

Definition silu_value_at (k : Z) : Z * Z :=
  let (l, h) := sigmoid_value_at k in
  let a := if k <? 0 then k * h else k * l in let b := if k <? 0 then k * l else k * h in
  (Z.shiftr a 6, - Z.shiftr (- b) 6).

(** Between what the values on a cell lie. *)
Definition sigmoid_values (low high : Z) : Z * Z :=
  if tabulated low high then (fst (sigmoid_value_at low), snd (sigmoid_value_at high))
  else (0, one).

Definition silu_values (low high hi : Z) : Z * Z :=          (* [hi] is no point of the table *)
  let valley := - (27847 * one / 100000 + 1) in
  if tabulated low high then
    let (a, b) := silu_value_at low in let (c, d) := silu_value_at high in
    (if (low <=? -81) && (-82 <=? high) then valley else Z.min a c, Z.max b d)
  else (valley, Z.max hi 0).

(** Where a curve is expanded: the point k/64 next to [z], or 0 far away. *)
Definition anchor (z : Z) : Z :=
  let k := cell_below (z + Z.shiftr one 7) in if tabulated k k then k else 0.
Definition grid_point (k : Z) : Z := Z.shiftl k 94.
