(** * Units with a core: the affine form that a slope makes of a unit

    - [sloped]: the annotation in which unit [k] has the core of slope [m];
    - [sloped_values], [sloped_changes]: with it, values and changes of the unit follow this form,
      whatever [m] is.

    Rests on Annotation.v, Curves.v, LinearCores.v and Rules.v. Rows.v takes it to the rows of the
    checker. *)

From Coq Require Import Reals Lra Lia ZArith List Bool.
From Lastbit Require Import Statement Totals curves.Slopes curves.Enclosure operations.Units.
From Lastbit Require Import network.Duals network.Forms network.Bound network.Rules.
From Lastbit Require Import checker.Program checker.Numbers checker.Vectors checker.Annotation
  checker.Curves checker.LinearCores.
Import ListNotations.
Open Scope R_scope.

Section Sloped.
Variables (net : cnet) (d : numbers).
Hypothesis facts : forall k o, nth_error (cunits net) k = Some o -> unit_facts net d k o o.

Notation at_ := (n_row d).
Notation full := (annotation_of net d).
Notation n := (length (cunits net)).

Section Unit.
Variable k : nat.
Hypothesis Hk : (k < n)%nat.

Notation r := (row_nat d k).
Notation o := (unit_at net k).
Lemma F : unit_facts net d k o o.
Proof. exact (facts_at net d facts k Hk). Qed.

Lemma reads_below j : In j (reads_of o) -> (num j < k)%nat.
Proof. exact (f_reads _ _ _ _ _ F j). Qed.

(** The rules with a core of slope [m]: what [m] leaves of a value and of a change. *)
Section Slope.
Variable m : Z.

Definition core_here : sparse := core_of o m.

Definition sloped : annotation := {|
  centre := centre full; columns := columns full; rho := rho full; err := err full; own := own full;
  dual := dual full;
  offset _ := real (offset_of o (r_off r));
  kept _ j := coef core_here j;
  core _ j := coef core_here j;
  rest _ := real (value_rest at_ o m (r_off r));
  bend q _ := real (change_of at_ q (n_move d q) o m);
  remainder q _ := real (change_of at_ q (n_move d q) o m)
|}.
Notation ann := sloped.

(** Magnitude and change of an operand, from its row. *)
Lemma mag_operand j : (num j < k)%nat -> 0 <= magnitude ann (num j) <= real (mag at_ j).
Proof.
  intros H. split.
  - apply (magnitude_low net d facts). lia.
  - generalize (magnitude_ok net d facts (num j) ltac:(lia)). now rewrite key_num.
Qed.

Lemma move_operand q j : (q < cpixels net)%nat -> (num j < k)%nat ->
  0 <= move ann q (num j) <= real (n_move d q j).
Proof.
  intros Hq H. split.
  - apply (move_low net d facts q (num j) Hq). lia.
  - generalize (move_ok net d facts q (num j) Hq ltac:(lia)). now rewrite key_num.
Qed.

Lemma range_operand j t : (num j < k)%nat -> within ann (num j) t ->
  real (low at_ j) <= t <= real (high at_ j).
Proof.
  intros H W. generalize (range_ok net d facts (num j) t ltac:(lia) W). now rewrite key_num.
Qed.

Lemma dev_pos j e : (num j < k)%nat -> (forall t, within ann (num j) t -> 0 <= e) -> 0 <= e.
Proof.
  intros H W. apply (W (centre ann (num j))). unfold within.
  rewrite Rminus_diag_eq, Rabs_R0 by reflexivity. apply (magnitude_low net d facts). lia.
Qed.

Lemma one_slope j : core_here = [(m, j)] -> (num j < k)%nat ->
  slope k (kept ann) (num j) (real (m)).
Proof.
  intros E H. split; [exact H|]. intros i _. cbn [kept sloped]. rewrite E, coef_cons.
  unfold coef, Rules.weight. simpl. rewrite Rplus_0_r. now rewrite Nat.eqb_sym.
Qed.

(** ** Values *)

Lemma rest_ok : real (value_rest at_ o m (r_off r)) <= rest ann k.
Proof. apply Rle_refl. Qed.

Lemma bend_ok q : real (change_of at_ q (n_move d q) o m) <= bend ann q k.
Proof. apply Rle_refl. Qed.

(** A curve on the range of its operand, from its value and slopes around one point. *)
Lemma curve_value (f df : R -> R) (op : operation) (dev : Z -> Z -> Z -> Z) (val : Z -> Z * Z)
  (j : positive) : slope_of f df -> (forall v x, ideal op v x = f (x (num j))) ->
  (forall m lo hi t, real lo <= t <= real hi -> Rabs (df t - real m) <= real (dev m lo hi)) ->
  (forall p, let (l, h) := val p in real l <= f (point p) <= real h) ->
  core_here = [(m, j)] -> (num j < k)%nat -> offset ann k = real (r_off r) ->
  real (curve_rest at_ dev val (m) (r_off r) j) <= rest ann k -> value_rule ann k op.
Proof.
  intros D I Dev Val Co L Of Rs v x _ Hx. rewrite I, (slope_read _ _ _ _ _ (one_slope j Co L)), Of.
  assert (W := range_operand j _ L (Hx _ L)). set (t := x (num j)) in *. unfold curve_rest in Rs.
  set (p := anchor (r_centre (at_ j))) in *. specialize (Val p). destruct (val p) as [l h].
  set (b := r_off r) in *. set (q := grid_point p) in *.
  assert (Q : real q = point p) by apply grid_point_ok. rewrite <- Q in Val.
  assert (K :=
    change f df (real m) (real (dev m (Z.min q (low at_ j)) (Z.max q (high at_ j)))) (real q) t D).
  assert (Re : Rabs (t - real q) <= real (Z.max (high at_ j - q) (q - low at_ j))).
  { rewrite real_max, !real_minus. apply Rabs_le.
    generalize (Rmax_l (real (high at_ j) - real q) (real q - real (low at_ j)))
      (Rmax_r (real (high at_ j) - real q) (real q - real (low at_ j))). lra. }
  assert (S : forall s, Rmin (real q) t <= s <= Rmax (real q) t ->
    Rabs (df s - real m) <= real (dev m (Z.min q (low at_ j)) (Z.max q (high at_ j)))).
  { intros s B. apply Dev. rewrite real_min, real_max. revert B. unfold Rmin, Rmax.
    repeat destruct Rle_dec; lra. }
  specialize (K S).
  assert (E0 :=
    Rle_trans _ _ _ (Rabs_pos _)
    (S (real q) ltac:(unfold Rmin, Rmax; repeat destruct Rle_dec; lra))).
  assert (P :=
    up_product (dev m (Z.min q (low at_ j)) (Z.max q (high at_ j)))
    (Z.max (high at_ j - q) (q - low at_ j))).
  assert (P2 := Rmult_le_compat_l _ _ _ E0 Re).
  assert (G := up_real (Z.max (h * one - m * q - b * one) (b * one + m * q - l * one))).
  assert (G1 : IZR (h * one - m * q - b * one) <=
    IZR (Z.max (h * one - m * q - b * one) (b * one + m * q - l * one)))
    by (apply IZR_le, Z.le_max_l).
  assert (G2 : IZR (b * one + m * q - l * one) <=
    IZR (Z.max (h * one - m * q - b * one) (b * one + m * q - l * one)))
    by (apply IZR_le, Z.le_max_r).
  set (gap := Z.max (h * one - m * q - b * one) (b * one + m * q - l * one)) in *.
  rewrite !minus_IZR, !mult_IZR, one_is in G1. rewrite minus_IZR, plus_IZR, !mult_IZR, one_is in G2.
  rewrite real_plus in Rs.
  assert (H1 : real h - real m * real q - real b <= IZR gap / 2 ^ 100 / 2 ^ 100)
    by (unfold real; lra).
  assert (H2 : real b + real m * real q - real l <= IZR gap / 2 ^ 100 / 2 ^ 100)
    by (unfold real; lra).
  replace (f t - real b - real m * t)
    with ((f t - f (real q) - real m * (t - real q)) + (f (real q) - real m * real q - real b))
    by ring.
  apply Rle_trans with (1 := Rabs_triang _ _).
  assert (Rabs (f (real q) - real m * real q - real b) <= IZR gap / 2 ^ 100 / 2 ^ 100)
    by (apply Rabs_le; lra). lra.
Qed.

Lemma away_ok j t : (num j < k)%nat -> within ann (num j) t ->
  Rabs (t - real m) <= real (away at_ m j).
Proof.
  intros H W. assert (Q := range_operand j t H W). unfold away. rewrite real_max, !real_minus.
  apply Rabs_le. generalize (Rmax_l (real (high at_ j) - real m) (real m - real (low at_ j)))
    (Rmax_r (real (high at_ j) - real m) (real m - real (low at_ j))). lra.
Qed.

Lemma sloped_values : value_rule ann k (denote o).
Proof.
  assert (Rs := rest_ok). assert (Rd := reads_below).
  assert (Of : offset ann k = real (offset_of o (r_off r))) by reflexivity.
  assert (Co : core_here = core_of o m) by reflexivity.
  destruct (f_fits _ _ _ _ _ F) as (_ & _ & _ & Fi & _). remember o as u eqn:Eu.
  destruct u as [p|ws bs c|j|j|i j]; cbn [denote value_rest reads_of core_of offset_of] in *.
  - assert (E : real (255 * half) = 255 / 2) by (rewrite real_scale, half_is; lra).
    apply pixel_value; [|rewrite Of; exact E|lra]. intros j _. cbn [kept sloped]. now rewrite Co.
  - apply (affine_value ann k _ _ _ (linear_weights k ws bs c Rd)).
    rewrite Of, Rminus_diag_eq, Rabs_R0, Rplus_0_l by reflexivity.
    apply Rle_trans with (2 := Rs). cbn [kept sloped]. rewrite Co.
    exact (linear_gap at_ k ws bs c (magnitude ann) (mag at_) Fi (fun j Hj =>
      mag_operand j (Rd j Hj))).
  - exact (curve_value sigmoid sigmoid' (Sigmoid (num j)) sigmoid_dev sigmoid_value_at j
      sigmoid_derive (fun _ _ => eq_refl)
      sigmoid_dev_ok sigmoid_value_at_ok Co (Rd j (or_introl eq_refl)) Of Rs).
  - exact (curve_value silu silu' (Silu (num j)) silu_dev silu_value_at j silu_derive
      (fun _ _ => eq_refl)
      silu_dev_ok silu_value_at_ok Co (Rd j (or_introl eq_refl)) Of Rs).
  - assert (Li := Rd i ltac:(simpl; auto)). assert (Lj := Rd j ltac:(simpl; auto)).
    assert (Ro := one_slope i Co Li). intros v x _ Hx. rewrite (slope_read _ _ _ _ _ Ro), Of.
    cbn [ideal]. assert (Wi := Hx _ Li). assert (Wj := Hx _ Lj). apply Rle_trans with (2 := Rs).
    rewrite real_plus, real_abs.
    replace (x (num i) * x (num j) - real (r_off r) - real m * x (num i)) with
      ((x (num j) - real m) * x (num i) + - real (r_off r)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_Ropp. apply Rplus_le_compat_r.
    rewrite Rabs_mult. apply product_le; (split; [apply Rabs_pos|]); [now apply away_ok|].
    apply Rle_trans with (2 := proj2 (mag_operand i Li)). now apply within_magnitude.
Qed.

(** ** Changes *)

(** A curve on the range of its operand, from its slopes there. *)
Lemma curve_changes (f df : R -> R) (op : operation) (dev : Z -> Z -> Z -> Z) (j : positive) :
  slope_of f df -> (forall v x, ideal op v x = f (x (num j))) ->
  (forall m lo hi t, real lo <= t <= real hi -> Rabs (df t - real m) <= real (dev m lo hi)) ->
  core_here = [(m, j)] -> (num j < k)%nat ->
  (forall q, real (up (dev m (low at_ j) (high at_ j) * n_move d q j)) <= bend ann q k) ->
  change_rule (network_of net) ann k op.
Proof.
  intros D I Dev Co L Bs. set (e := dev m (low at_ j) (high at_ j)) in *.
  assert (Ds : slopes_in ann df (num j) (real m) (real e)).
  { intros t W. now apply Dev, range_operand. }
  assert (D0 : 0 <= real e).
  { apply (dev_pos j _ L). intros t W. apply Rle_trans with (2 := Ds t W). apply Rabs_pos. }
  assert (G : exists m e, slope k (kept ann) (num j) m /\ slopes_in ann df (num j) m e /\
    forall q, (q < pixels (network_of net))%nat -> e * move ann q (num j) <= bend ann q k).
  { exists (real m), (real e). split; [now apply one_slope|]. split; [exact Ds|]. intros q Hq.
    apply Rle_trans with (2 := Bs q).
    apply product_le; [split; [exact D0|apply Rle_refl]|exact (move_operand q j Hq L)]. }
  apply (curve_change (network_of net) ann k f df op (num j) D I); exact G.
Qed.

Lemma sloped_changes : change_rule (network_of net) ann k (denote o).
Proof.
  assert (Bs := bend_ok). assert (Rd := reads_below).
  assert (Co : core_here = core_of o m) by reflexivity.
  destruct (f_fits _ _ _ _ _ F) as (_ & _ & _ & Fi & _).
  remember o as u eqn:Eu.
  destruct u as [p|ws bs c|j|j|i j]; cbn [denote change_of reads_of core_of] in *.
  - apply pixel_change.
    + intros j _. cbn [kept core sloped]. now rewrite Co.
    + intros q _. specialize (Bs q). cbn [bend remainder sloped] in *.
      destruct (p =? q)%nat; rewrite ?real_one, ?real_0 in Bs; split; exact Bs.
  - apply (affine_change (network_of net) ann k _ _ _ (linear_weights k ws bs c Rd)). intros q Hq.
    assert (G : over k (fun j => Rabs (exact_weights ws c j - kept ann k j) * move ann q j) <=
      bend ann q k).
    { apply Rle_trans with (2 := Bs q). cbn [kept sloped]. rewrite Co.
      exact (linear_gap at_ k ws bs c (move ann q) (n_move d q) Fi (fun j Hj =>
        move_operand q j Hq (Rd j Hj))). }
    split; exact G.
  - exact (curve_changes sigmoid sigmoid' (Sigmoid (num j)) sigmoid_dev j sigmoid_derive
      (fun _ _ => eq_refl) sigmoid_dev_ok Co (Rd j (or_introl eq_refl)) Bs).
  - exact (curve_changes silu silu' (Silu (num j)) silu_dev j silu_derive
      (fun _ _ => eq_refl) silu_dev_ok Co (Rd j (or_introl eq_refl)) Bs).
  - assert (Li := Rd i ltac:(simpl; auto)). assert (Lj := Rd j ltac:(simpl; auto)).
    assert (A0 : 0 <= real (away at_ m j)).
    { apply (dev_pos j _ Lj). intros t W. apply Rle_trans with (2 := away_ok j t Lj W).
      apply Rabs_pos. }
    assert (G : exists s0 e, slope k (kept ann) (num i) s0 /\ Rules.away ann (num j) s0 e /\
      forall q, (q < pixels (network_of net))%nat ->
        e * move ann q (num i) + magnitude ann (num i) * move ann q (num j) <= bend ann q k).
    { exists (real (m)), (real (away at_ m j)). split; [now apply one_slope|].
      split; [intros t W; now apply away_ok|]. intros q Hq. apply Rle_trans with (2 := Bs q).
      apply Rle_trans with (2 := up_real _). rewrite plus_IZR, !mult_IZR.
      assert (M1 := move_operand q i Hq Li). assert (M2 := move_operand q j Hq Lj).
      assert (X := mag_operand i Li).
      assert (P1 : real (away at_ m j) * move ann q (num i) <=
        real (away at_ m j) * real (n_move d q i))
        by (apply Rmult_le_compat_l; lra).
      assert (P2 : magnitude ann (num i) * move ann q (num j) <=
        real (mag at_ i) * real (n_move d q j))
        by (apply Rmult_le_compat; lra).
      unfold real in P1, P2 |- *. lra. }
    apply (gate_change (network_of net) ann k (num i) (num j) Lj); exact G.
Qed.
End Slope.
End Unit.
End Sloped.
