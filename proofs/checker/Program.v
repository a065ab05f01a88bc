(** * The checker, as a program

    Definitions only, over the integers: what [check] decides and what [derive] proposes. Numbers
    are integers over [2^100]: [z] stands for [z / 2^100]; a product of two is an integer over
    [2^200], and [up] brings it back, rounded up.

    - [cnet]: a network, unit by unit, as in Statement.v, with numbers on this grid;
    - [row]: what a certificate says of one unit; [cert]: the rows and the numbers claimed;
    - [check]: every row satisfies the inequalities that its rule asks for, and the claim follows;
    - [derive]: rows from hints (slopes, dual vectors, and which units carry their error on as
      columns). Nothing is proved of it: [check] decides whether its result counts.

    Nothing here is proved; [check_sound] in Sound.v is about [check]. Units are numbered from 1 here
    (binary numbers), from 0 there. Stands behind forward.py, columns.py, duals.py and check.py. *)

From Coq Require Import ZArith List FMapPositive Orders Mergesort.
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

(** Where a curve is expanded: the point k/64 next to [z], or 0 far away. *)
Definition anchor (z : Z) : Z :=
  let k := cell_below (z + Z.shiftr one 7) in if tabulated k k then k else 0.
Definition grid_point (k : Z) : Z := Z.shiftl k 94.

(** ** Networks and certificates *)

Inductive cunit :=
| CPixel (p : nat)
| CLinear (ws : sparse) (bs : list Z)
| CQuotient (j : positive) (c : Z)
| CMean (js : list positive)
| CSigmoid (j : positive)
| CSilu (j : positive)
| CGate (i j : positive)
| CAdd (i j : positive).

Record cnet := { cpixels : nat; cunits : list cunit; clogits : list positive }.

Record row := {
  r_slope : Z;              (* of the linear core, where the unit has one to choose *)
  r_centre : Z;
  r_off : Z;              (* of the affine form, where the unit has one to choose *)
  r_cols : sparse;          (* columns for earlier units *)
  r_rest : Z;               (* what the affine form leaves, for a value *)
  r_rho : Z;                (* rounding *)
  r_err : Z;                (* what the unit adds to its form *)
  r_rad : Z;                (* half width of its range *)
  r_bend : list Z;          (* by pixel: what the core leaves of a change *)
  r_own : list Z;           (* by pixel: what the unit adds to its change *)
  r_move : list Z;          (* by pixel: bound of its change *)
  r_duals : list Z          (* by class *)
}.

Definition blank : row := {| r_slope := 0; r_centre := 0; r_off := 0; r_cols := []; r_rest := 0; r_rho := 0; r_err := 0;
  r_rad := 0; r_bend := []; r_own := []; r_move := []; r_duals := [] |}.

(** [c_cap] bounds every [r_own]; [c_bound] is R, and [c_upper] is U. *)
Record cert := { c_rows : PositiveMap.t row; c_cap : Z; c_bound : Z; c_upper : Z }.

Definition row_of (c_rows : PositiveMap.t row) (k : positive) : row :=
  match PositiveMap.find k c_rows with Some r => r | None => blank end.

Fixpoint numbered {A} (k : positive) (l : list A) : list (positive * A) :=
  match l with [] => [] | x :: l' => (k, x) :: numbered (Pos.succ k) l' end.

Definition reads_of (o : cunit) : list positive :=
  match o with
  | CPixel _ => []
  | CLinear ws _ => map snd ws
  | CQuotient j _ | CSigmoid j | CSilu j => [j]
  | CMean js => js
  | CGate i j | CAdd i j => [i; j]
  end.

(** The linear core and the offset of a unit. *)
Definition core_of (o : cunit) (m : Z) : sparse :=
  match o with
  | CPixel _ => []
  | CLinear ws _ => ws
  | CQuotient j _ | CSigmoid j | CSilu j => [(m, j)]
  | CMean js => map (pair m) js
  | CGate i _ => [(m, i)]
  | CAdd i j => [(one, i); (one, j)]
  end.

Definition offset_of (o : cunit) (b : Z) : Z :=
  match o with
  | CPixel _ => 255 * half
  | CLinear _ bs => zsum bs
  | CSigmoid _ | CSilu _ => b
  | _ => 0
  end.

(** ** What each rule asks for *)

Module Descending <: TotalLeBool.
  Definition t := Z.
  Definition leb (a b : Z) : bool := b <=? a.
  Theorem leb_total a b : leb a b = true \/ leb b a = true.
  Proof. unfold leb. destruct (Z.leb_spec b a); [now left|right]. now apply Z.leb_le, Z.lt_le_incl. Qed.
End Descending.
Module Sorting := Sort Descending.

Fixpoint chain_of (n i : Z) (m : list Z) : Z :=
  match m with [] => 0 | x :: m' => (n + 1 - Z.max i 2) * x + chain_of n (i + 1) m' end.

Definition limit : Z := 0x100000 * one.                      (* 2^20: no value is larger *)
Definition most_terms : Z := 0x8000.                         (* 2^15 *)

(** Rounding of a sum of terms [bs] (over 2^200), [zproducts] of them products. *)
Definition noise_of_sum (bs : list Z) (zproducts : Z) : Z :=
  let m := Sorting.sort (filter (fun x => negb (x =? 0)) bs) in
  let n := Z.of_nat (length m) in
  ceil_div (up (chain_of n 1 m + zproducts)) (0x1000000 - n) + 0x100000.

(** Not too many terms, nor too large ones: no overflow, and underflow below 2^20 units. *)
Definition sum_fits (bs : list Z) (weights : Z) : bool :=
  (Z.of_nat (length bs) <=? most_terms) && (weights <=? limit) && (zsum bs <=? limit * limit).

(** Rounding of [x / c] for [|x| <= X] (over 2^100), [c >= 2^-10]. *)
Definition noise_of_quotient (X c : Z) : Z := ceil_div (X * one * 0x2000001) (Z.abs c * 0x1000000000000) + 0x100000.

(** [1/c] is within this of the slope [m]. *)
Definition slack (m c : Z) : Z := ceil_div (Z.abs (one * one - m * c)) (Z.abs c).

Section Rules.
Variable at_ : positive -> row.

Definition mag (j : positive) : Z := Z.abs (r_centre (at_ j)) + r_rad (at_ j).
Definition low (j : positive) : Z := r_centre (at_ j) - r_rad (at_ j).
Definition high (j : positive) : Z := r_centre (at_ j) + r_rad (at_ j).
Definition away (m : Z) (j : positive) : Z := Z.max (high j - m) (m - low j).

Definition zproducts (ws : sparse) : list Z := map (fun w => Z.abs (fst w) * mag (snd w)) ws.
Definition length_of (js : list positive) : Z := Z.of_nat (length js) * one.
Definition mean_noise (js : list positive) : Z := noise_of_sum (map (fun j => one * mag j) js) 0.

Definition rounding_of (o : cunit) : Z :=
  match o with
  | CPixel _ => 0
  | CLinear ws bs => noise_of_sum (zproducts ws ++ map (fun b => one * Z.abs b) bs) (zsum (zproducts ws))
  | CQuotient j c => noise_of_quotient (mag j) c
  | CMean js => noise_of_quotient (zsum (map mag js) + mean_noise js) (length_of js) + mean_noise js
  | CSigmoid j => Z.shiftr one (if mag j <=? Z.shiftr one 27 then 28 else if mag j <=? Z.shiftr one 6 then 23 else 22)
  | CSilu j =>
      (if mag j <=? Z.shiftr one 27 then ceil_div (mag j) 0x10000000
       else if mag j <=? Z.shiftr one 6 then ceil_div (3 * mag j) 0x1000000
       else ceil_div (6 * mag j) 0x1000000) + 1
  | CGate i j => ceil_div (up (mag i * mag j)) 0x1000000 + 1
  | CAdd i j => ceil_div (mag i + mag j) 0x1000000 + 1
  end.

Definition fits (o : cunit) : bool :=
  match o with
  | CLinear ws bs => sum_fits (zproducts ws ++ map (fun b => one * Z.abs b) bs) (zsum (map (fun w => Z.abs (fst w)) ws))
  | CQuotient _ c => one <=? 0x400 * Z.abs c
  | CMean js => sum_fits (map (fun j => one * mag j) js) 0 && (1 <=? Z.of_nat (length js)) && (mean_noise js <=? limit)
  | _ => true
  end.

(** [f(z) - m z - b] on the range of unit [j], from its value and slopes around a point. *)
Definition curve_rest (dev : Z -> Z -> Z -> Z) (value : Z -> Z * Z) (m b : Z) (j : positive) : Z :=
  let k := anchor (r_centre (at_ j)) in let p := grid_point k in let (l, h) := value k in
  up (dev m (Z.min p (low j)) (Z.max p (high j)) * Z.max (high j - p) (p - low j)) +
  up (Z.max (h * one - m * p - b * one) (b * one + m * p - l * one)).

Definition value_rest (o : cunit) (m b : Z) : Z :=
  match o with
  | CPixel _ => 255 * half
  | CLinear _ _ | CAdd _ _ => 0
  | CQuotient j c => up (slack m c * mag j)
  | CMean js => up (slack m (length_of js) * zsum (map mag js))
  | CSigmoid j => curve_rest sigmoid_dev sigmoid_value_at m b j
  | CSilu j => curve_rest silu_dev silu_value_at m b j
  | CGate i j => up (away m j * mag i)
  end.

Definition vsum (l : list (Z * list Z)) : list Z := fold_right (fun x acc => vadd (vscale (fst x) (snd x)) acc) [] l.

Definition change_rest (o : cunit) (m : Z) : list Z :=
  match o with
  | CPixel p => repeat 0 p ++ [one]
  | CLinear _ _ | CAdd _ _ => []
  | CQuotient j c => vup (vsum [(slack m c, r_move (at_ j))])
  | CMean js => let e := slack m (length_of js) in vup (vsum (map (fun j => (e, r_move (at_ j))) js))
  | CSigmoid j => vup (vsum [(sigmoid_dev m (low j) (high j), r_move (at_ j))])
  | CSilu j => vup (vsum [(silu_dev m (low j) (high j), r_move (at_ j))])
  | CGate i j => vup (vsum [(away m j, r_move (at_ i)); (mag i, r_move (at_ j))])
  end.

(** The image of the operands' columns, over 2^200, and its misfit with the columns kept. *)
Definition image_of (k : sparse) (start : sparse) : sparse :=
  fold_right (fun w acc => merge (scaled (fst w) (r_cols (at_ (snd w)) ++ [(one, snd w)])) acc) start k.

Definition misfit_of (o : cunit) (r : row) : sparse :=
  map (fun x => (up (Z.abs (fst x)), snd x)) (image_of (core_of o (r_slope r)) (scaled (- one) (r_cols r))).

Definition weigh (f : positive -> Z) (l : sparse) : Z := zsum (map (fun x => Z.abs (fst x) * f (snd x)) l).
Definition vweigh (f : positive -> list Z) (l : sparse) : list Z := vsum (map (fun x => (Z.abs (fst x), f (snd x))) l).

Definition centre_gap (o : cunit) (r : row) : Z :=
  offset_of o (r_off r) * one + zsum (map (fun w => fst w * r_centre (at_ (snd w))) (core_of o (r_slope r))) - r_centre r * one.

Definition own_error (o : cunit) (r : row) : Z :=
  up (Z.abs (centre_gap o r)) + up (weigh (fun g => r_err (at_ g)) (misfit_of o r)) + r_rest r + r_rho r.

(** Entries of the misfit that are as small as roundings are taken together. *)
Definition crumb (x : Z * positive) : bool := fst x <=? 0x1000000.

Definition own_change (pixels : nat) (cap : Z) (o : cunit) (r : row) : list Z :=
  let (small, large) := partition crumb (misfit_of o r) in
  let fixed := up (weigh (fun _ => cap) small) + 2 * r_rho r in
  vadd (vup (vweigh (fun g => r_own (at_ g)) large)) (vadd (r_bend r) (repeat fixed pixels)).

Definition radius_of (r : row) : Z := up (weigh (fun g => r_err (at_ g)) (r_cols r)) + r_err r.
Definition moves_of (r : row) : list Z := vadd (vup (vweigh (fun g => r_own (at_ g)) (r_cols r))) (r_own r).

Definition good_row (pixels : nat) (cap : Z) (ko : positive * cunit) : bool :=
  let (k, o) := ko in let r := at_ k in
  forallb (fun j => Pos.ltb j k) (reads_of o) && forallb (fun x => Pos.ltb (snd x) k) (r_cols r) &&
  fits o && (rounding_of o <=? r_rho r) && (r_rho r <=? limit) && (value_rest o (r_slope r) (r_off r) <=? r_rest r) &&
  vle (change_rest o (r_slope r)) (r_bend r) && (0 <=? r_err r) && (own_error o r <=? r_err r) &&
  forallb (fun x => (0 <=? x) && (x <=? cap)) (r_own r) && vle (own_change pixels cap o r) (r_own r) &&
  (radius_of r <=? r_rad r) && vle (moves_of r) (r_move r) && (mag k <=? limit).
End Rules.

(** ** Duals *)

Definition pull (m : PositiveMap.t (list Z)) (j : positive) : list Z :=
  match PositiveMap.find j m with Some v => v | None => [] end.

Definition pulled (at_ : positive -> row) (units : list (positive * cunit)) : PositiveMap.t (list Z) :=
  fold_right (fun ko m =>
    fold_right (fun w m => PositiveMap.add (snd w) (vadd (vscale (fst w) (r_duals (at_ (fst ko)))) (pull m (snd w))) m)
      m (core_of (snd ko) (r_slope (at_ (fst ko)))))
    (PositiveMap.empty _) units.

Definition entry (c : nat) (v : list Z) : Z := nth c v 0.

Section Pair.
Variables (at_ : positive -> row) (net : cnet) (m : PositiveMap.t (list Z)) (c j : nat).

Definition dual_gap (k : positive) : Z := entry c (r_duals (at_ k)) - entry j (r_duals (at_ k)).
Definition chosen (i : nat) (k : positive) : Z := if Pos.eqb k (nth i (clogits net) 1%positive) then one else 0.
Definition defect_of (k : positive) : Z :=
  (chosen c k - chosen j k) * one + (entry c (pull m k) - entry j (pull m k)) - dual_gap k * one.

(** Bound (1) by pixel, for one pair of classes. *)
Definition pair_bound (units : list (positive * cunit)) : list Z :=
  let ks := map fst units in
  let fixed := zsum (map (fun k => Z.abs (dual_gap k) * (2 * r_rho (at_ k))) ks) in
  let bends := vsum (map (fun k => (Z.abs (dual_gap k), r_bend (at_ k))) ks) in
  let defects := vsum (map (fun k => (up (Z.abs (defect_of k)), r_move (at_ k))) ks) in
  vup (vadd (vadd bends defects) (repeat fixed (cpixels net))).
End Pair.

Definition pairs (n : nat) : list (nat * nat) := flat_map (fun c => map (pair c) (seq 0 (S c))) (seq 0 n).

(** ** From logits to probabilities *)

Definition softmax_part (n : Z) : Z := ceil_div (22 * (33 * (n + 1) + 2 * (2 * n + 1)) * one) (10 * 0x2000000).

(** exp(2^-32) is at most 1 + 2^-32 + 2^-64. *)
Definition exp_step : Z := one + Z.shiftr one 32 + Z.shiftr one 64.

Definition tanh_part (r : Z) : Z :=                          (* of r / 4 *)
  let x := ceil_div r 4 in
  match ceil_div r 0x200000000000000000 with               (* 2^32 r / 2, of units *)
  | Zpos p =>
      if Pos.leb p 0x2000000000 then
        let e := power up exp_step p in
        Z.min x (one - 2 * one * one / (e + one))
      else one
  | _ => 0
  end.

Definition upper_of (classes : Z) (r : Z) : Z := tanh_part r + softmax_part classes.

(** ** The decision *)

Definition check (net : cnet) (crt : cert) : bool :=
  let at_ := row_of (c_rows crt) in
  let units := numbered 1 (cunits net) in
  let m := pulled at_ units in
  let n := length (clogits net) in
  (0 <=? c_cap crt) && (0 <=? c_bound crt) &&
  forallb (good_row at_ (cpixels net) (c_cap crt)) units &&
  forallb (fun l => existsb (fun ko => Pos.eqb (fst ko) l) units) (clogits net) &&
  (Z.of_nat n <=? 0x4000) &&
  forallb (fun cj => forallb (fun b => b <=? c_bound crt)
    (pair_bound at_ net m (fst cj) (snd cj) units)) (pairs n) &&
  (upper_of (Z.of_nat n) (c_bound crt) <=? c_upper crt).

(** ** A certificate from hints *)

(** Of one unit: its slope, its dual vectors, and whether its error is carried on as a column. *)
Record hint := { hslope : Z; hduals : list Z; hbase : bool }.

Definition propose (pixels : nat) (cap : Z) (bases : positive -> bool)
    (c_rows : PositiveMap.t row) (koh : positive * (cunit * hint)) : PositiveMap.t row :=
  let k := fst koh in let o := fst (snd koh) in let h := snd (snd koh) in let at_ := row_of c_rows in
  let m := match o with CQuotient _ c => one * one / c | CMean js => one * one / length_of js | _ => hslope h end in
  let b := match o with
    | CSigmoid j => let p := anchor (r_centre (at_ j)) in fst (sigmoid_value_at p) - up (m * grid_point p)
    | CSilu j => let p := anchor (r_centre (at_ j)) in fst (silu_value_at p) - up (m * grid_point p)
    | _ => 0 end in
  let middle := Z.shiftr (offset_of o b * one + zsum (map (fun w => fst w * r_centre (at_ (snd w))) (core_of o m))) 100 in
  let columns := map (fun x => (Z.shiftr (fst x) 100, snd x))
    (filter (fun x => bases (snd x) && negb (fst x =? 0)) (image_of at_ (core_of o m) [])) in
  let r := {| r_slope := m; r_centre := middle; r_off := b; r_cols := columns; r_rest := value_rest at_ o m b;
    r_rho := rounding_of at_ o; r_err := 0; r_rad := 0; r_bend := change_rest at_ o m; r_own := []; r_move := [];
    r_duals := hduals h |} in
  let e := own_error at_ o r in let w := own_change at_ pixels cap o r in
  let r := {| r_slope := m; r_centre := middle; r_off := b; r_cols := columns; r_rest := r_rest r; r_rho := r_rho r; r_err := e;
    r_rad := 0; r_bend := r_bend r; r_own := w; r_move := []; r_duals := hduals h |} in
  let r := {| r_slope := m; r_centre := middle; r_off := b; r_cols := columns; r_rest := r_rest r; r_rho := r_rho r; r_err := e;
    r_rad := radius_of at_ r; r_bend := r_bend r; r_own := w; r_move := moves_of at_ r; r_duals := hduals h |} in
  PositiveMap.add k r c_rows.

Definition derive (net : cnet) (hints : list hint) : cert :=
  let units := numbered 1 (cunits net) in
  let both := combine (map fst units) (combine (cunits net) hints) in
  let marks := fold_right (fun x m => if hbase (snd (snd x)) then PositiveMap.add (fst x) tt m else m)
    (PositiveMap.empty unit) both in
  let bases := fun k => match PositiveMap.find k marks with Some _ => true | None => false end in
  let found := fold_left (propose (cpixels net) limit bases) both (PositiveMap.empty row) in
  let at_ := row_of found in let m := pulled at_ units in
  let r := fold_right (fun cj acc => fold_right Z.max acc (pair_bound at_ net m (fst cj) (snd cj) units))
    0 (pairs (length (clogits net))) in
  {| c_rows := found; c_cap := limit; c_bound := r; c_upper := upper_of (Z.of_nat (length (clogits net))) r |}.
