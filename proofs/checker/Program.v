(** * The checker, as a program

    Definitions only.

    - [check]: every row satisfies the inequalities that its rule asks for, and the claim follows by
      bound (1) of docs/bound.md;
    - [derive]: rows from hints (slopes, dual vectors, and which units carry their error on as
      columns). Nothing is proved of it: [check] decides whether its result counts.

    [check_sound] in Sound.v is about [check]. Stands behind derivation.py and check.py. *)

From Coq Require Import ZArith List FMapPositive Bool.
From Lastbit Require Export checker.Integers checker.Asked.
Import ListNotations.
Open Scope Z_scope.

(** ** Duals *)

Definition pull (m : PositiveMap.t (list Z)) (j : positive) : list Z :=
  match PositiveMap.find j m with Some v => v | None => [] end.

Definition pulled (at_ : positive -> row) (units : list (positive * cunit)) :
  PositiveMap.t (list Z) :=
  fold_right (fun ko m =>
    fold_right (fun w m =>
      PositiveMap.add (snd w) (vadd (vscale (fst w) (r_duals (at_ (fst ko)))) (pull m (snd w))) m)
      m (core_of (snd ko) (r_slope (at_ (fst ko)))))
    (PositiveMap.empty _) units.

Definition entry (c : nat) (v : list Z) : Z := nth c v 0.

Section Pair.
Variables (at_ : positive -> row) (net : cnet) (m : PositiveMap.t (list Z)) (c j : nat).

Definition dual_gap (k : positive) : Z := entry c (r_duals (at_ k)) - entry j (r_duals (at_ k)).
Definition chosen (i : nat) (k : positive) : Z :=
  if Pos.eqb k (nth i (clogits net) 1%positive) then one else 0.
Definition defect_of (k : positive) : Z :=
  (chosen c k - chosen j k) * one + (entry c (pull m k) - entry j (pull m k)) - dual_gap k * one.

(** Bound (1) by pixel, for one pair of classes. *)
Definition pair_bound (units : list (positive * cunit)) : list Z :=
  let ks := map fst units in
  let fixed := zsum (map (fun k => Z.abs (dual_gap k) * (2 * r_rho (at_ k))) ks) in
  let bends := vsum (map (fun k => (Z.abs (dual_gap k), r_rem (at_ k))) ks) in
  let defects := vsum (map (fun k => (up (Z.abs (defect_of k)), r_move (at_ k))) ks) in
  vup (vadd (vadd bends defects) (repeat fixed (cpixels net))).
End Pair.

Definition pairs (n : nat) : list (nat * nat) :=
  flat_map (fun c => map (pair c) (seq 0 (S c))) (seq 0 n).

(** ** From logits to probabilities *)

Definition softmax_part (n : Z) : Z :=
  ceil_div (22 * (33 * (n + 1) + 2 * (2 * n + 1)) * one) (10 * 0x2000000).

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

Definition upper_of (classes : Z) (r : Z) : Z := Z.min one (tanh_part r + softmax_part classes).

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

(** Of one unit: its slope, its dual vectors, whether its error is carried on as a column, and
    whether it is boxed. *)
Record hint := { hslope : Z; hduals : list Z; hbase : bool; hbox : bool }.

Definition propose (pixels : nat) (cap : Z) (bases : positive -> bool)
    (c_rows : PositiveMap.t row) (koh : positive * (cunit * hint)) : PositiveMap.t row :=
  let k := fst koh in let o := fst (snd koh) in let h := snd (snd koh) in
  let at_ := row_of c_rows in
  let m := hslope h in
  let box := hbox h && may_box o in let (l, t) := range_of at_ o in
  let b := if box then Z.shiftr (l + t) 1 else match o with
    | CSigmoid j =>
        let p := anchor (r_centre (at_ j)) in fst (sigmoid_value_at p) - up (m * grid_point p)
    | CSilu j => let p := anchor (r_centre (at_ j)) in fst (silu_value_at p) - up (m * grid_point p)
    | _ => 0 end in
  let kept := if box then [] else core_of o m in
  let middle := Z.shiftr
  (offset_of o b * one + zsum (map (fun w => fst w * r_centre (at_ (snd w))) kept)) 100 in
  let columns := map (fun x => (Z.shiftr (fst x) 100, snd x))
    (filter (fun x => bases (snd x) && negb (fst x =? 0)) (image_of at_ kept [])) in
  let start := {| r_slope := m; r_centre := middle; r_off := b; r_cols := columns; r_box := box;
    r_rest := 0; r_rho := 0;
    r_err := 0; r_rad := 0; r_bend := []; r_rem := []; r_own := []; r_move := [];
    r_duals := [] |} in
  let rest := rest_of at_ o start in let rem := change_rest at_ o m in
  let bend := if box then map (Z.min (2 * rest)) (change_rest at_ o 0) else rem in
  let made rho err rad own move := {| r_slope := m; r_centre := middle; r_off := b;
    r_cols := columns; r_box := box;
    r_rest := rest; r_rho := rho; r_err := err; r_rad := rad; r_bend := bend; r_rem := rem;
    r_own := own; r_move := move;
    r_duals := hduals h |} in
  let exact := own_error at_ o (made 0 0 0 [] []) in
  let whole := Z.abs middle + radius_of at_ (made 0 exact 0 [] []) in
  let rho := rounding_of at_ whole o in
  let own := own_change at_ pixels cap o (made rho 0 0 [] []) in
  let r := made rho (exact + rho) 0 own [] in
  let r := made rho (exact + rho) (radius_of at_ r) own (moves_of at_ r) in
  PositiveMap.add k r c_rows.

Definition derive (net : cnet) (hints : list hint) : cert :=
  let units := numbered 1 (cunits net) in
  let both := combine (map fst units) (combine (cunits net) hints) in
  let marks := fold_right (fun x m =>
    if hbase (snd (snd x)) then PositiveMap.add (fst x) tt m else m)
    (PositiveMap.empty unit) both in
  let bases := fun k => match PositiveMap.find k marks with Some _ => true | None => false end in
  let found := fold_left (propose (cpixels net) limit bases) both (PositiveMap.empty row) in
  let at_ := row_of found in let m := pulled at_ units in
  let r := fold_right (fun cj acc =>
    fold_right Z.max acc (pair_bound at_ net m (fst cj) (snd cj) units))
    0 (pairs (length (clogits net))) in
  {| c_rows := found; c_cap := limit; c_bound := r;
  c_upper := upper_of (Z.of_nat (length (clogits net))) r |}.
