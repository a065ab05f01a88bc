(** * Sigmoid and SiLU: slopes, and what a slope says of a change

    - [sigmoid_slope_range]: sigmoid' lies in [1/4 - z^2/16, 1/4] and is positive;
    - [silu_slope_range]: silu' lies in [-0.09984, 1.09984], for all reals;
    - [silu_slope_near]: |silu'(z) - 1/2| <= |z| / 2; [silu_near]: 0 <= silu(z) - z/2 <= z^2 / 4;
    - [silu_change], [sigmoid_change]: if all slopes between [z] and [z'] lie within [e] of [m],
      then the change is within [e |z' - z|] of [m (z' - z)].

    Rests on Coquelicot (derivatives, mean values) and Interval (the compact part of silu').
    Stands behind enclosure.py, and the remainder of the rules silu and sigmoid in curves.py. *)

From Coq Require Import Reals Lra Psatz.
From Coquelicot Require Import Coquelicot.
From Interval Require Import Tactic.
From Lastbit Require Import Statement.
Open Scope R_scope.

Definition sigmoid' (z : R) : R := sigmoid z * (1 - sigmoid z).
Definition silu' (z : R) : R := sigmoid z * (1 + z * (1 - sigmoid z)).

Lemma denominator z : 0 < 1 + exp (- z). Proof. generalize (exp_pos (- z)); lra. Qed.

Lemma sigmoid_01 z : 0 < sigmoid z < 1.
Proof.
  unfold sigmoid. assert (H := exp_pos (- z)). split; [apply Rinv_0_lt_compat; lra|].
  rewrite <- Rinv_1 at 2. apply Rinv_lt_contravar; lra.
Qed.

Lemma sigmoid_0 : sigmoid 0 = / 2.
Proof. unfold sigmoid. rewrite Ropp_0, exp_0. lra. Qed.

Lemma sigmoid_opp z : sigmoid (- z) = 1 - sigmoid z.
Proof.
  unfold sigmoid. rewrite Ropp_involutive. replace (exp z) with (/ exp (- z)).
  - assert (H := exp_pos (- z)). field. lra.
  - rewrite <- exp_Ropp. f_equal. lra.
Qed.

Definition slope_of (f df : R -> R) : Prop := forall z, is_derive f z (df z).

Lemma sigmoid_derive : slope_of sigmoid sigmoid'.
Proof.
  intros z. unfold sigmoid', sigmoid. assert (H := denominator z). auto_derive; [lra|]. field. lra.
Qed.

Lemma silu_derive : slope_of silu silu'.
Proof.
  intros z. unfold silu, silu', sigmoid. assert (H := denominator z). auto_derive; [lra|]. field.
  lra.
Qed.

(** ** Changes *)

(** A function whose slopes between [z] and [z'] lie within [e] of [m]. *)
Lemma change f df m e z z' : slope_of f df ->
  (forall t, Rmin z z' <= t <= Rmax z z' -> Rabs (df t - m) <= e) ->
  Rabs (f z' - f z - m * (z' - z)) <= e * Rabs (z' - z).
Proof.
  intros D H. destruct (MVT_gen f z z' df) as (c & Hc & E).
  - intros t _. apply D.
  - intros t _. apply continuity_pt_filterlim, (ex_derive_continuous f). eexists; apply D.
  - rewrite E. replace (df c * (z' - z) - m * (z' - z)) with ((df c - m) * (z' - z)) by ring.
    rewrite Rabs_mult. apply Rmult_le_compat_r; [apply Rabs_pos|now apply H].
Qed.

Lemma between lo hi z z' t : lo <= z <= hi -> lo <= z' <= hi -> Rmin z z' <= t <= Rmax z z' ->
  lo <= t <= hi.
Proof. unfold Rmin, Rmax. destruct Rle_dec; lra. Qed.

Theorem silu_change lo hi m e z z' : (forall t, lo <= t <= hi -> Rabs (silu' t - m) <= e) ->
  lo <= z <= hi -> lo <= z' <= hi ->
  Rabs (silu z' - silu z - m * (z' - z)) <= e * Rabs (z' - z).
Proof.
  intros H Hz Hz'. apply (change _ silu'); [apply silu_derive|]. intros t Ht. apply H.
  now apply (between lo hi z z').
Qed.

Theorem sigmoid_change lo hi m e z z' : (forall t, lo <= t <= hi -> Rabs (sigmoid' t - m) <= e) ->
  lo <= z <= hi -> lo <= z' <= hi ->
  Rabs (sigmoid z' - sigmoid z - m * (z' - z)) <= e * Rabs (z' - z).
Proof.
  intros H Hz Hz'. apply (change _ sigmoid'); [apply sigmoid_derive|]. intros t Ht. apply H.
  now apply (between lo hi z z').
Qed.

(** ** Sigmoid *)

Lemma sigmoid'_quarter z : sigmoid' z = / 4 - (sigmoid z - / 2) ^ 2.
Proof. unfold sigmoid'. field. Qed.

Lemma sigmoid'_pos z : 0 < sigmoid' z.
Proof. unfold sigmoid'. assert (H := sigmoid_01 z). apply Rmult_lt_0_compat; lra. Qed.

Lemma sigmoid'_le z : sigmoid' z <= / 4.
Proof. rewrite sigmoid'_quarter. generalize (pow2_ge_0 (sigmoid z - / 2)); lra. Qed.

(** Sigmoid is 1/4-Lipschitz, hence within |z| / 4 of 1/2. *)
Lemma sigmoid_near z : Rabs (sigmoid z - / 2) <= Rabs z / 4.
Proof.
  assert (K := change sigmoid sigmoid' 0 (/ 4) 0 z sigmoid_derive).
  rewrite sigmoid_0, Rmult_0_l, !Rminus_0_r in K. replace (Rabs z / 4) with (/ 4 * Rabs z) by field.
  apply K. intros t _. rewrite Rminus_0_r. generalize (sigmoid'_pos t) (sigmoid'_le t). intros.
  rewrite Rabs_pos_eq; lra.
Qed.

Lemma sigmoid_side z : 0 <= z * (sigmoid z - / 2).
Proof.
  destruct (MVT_gen sigmoid 0 z sigmoid') as (c & _ & E).
  - intros t _. apply sigmoid_derive.
  - intros t _. apply continuity_pt_filterlim, (ex_derive_continuous sigmoid).
    eexists; apply sigmoid_derive.
  - rewrite sigmoid_0, Rminus_0_r in E. rewrite E. generalize (sigmoid'_pos c) (pow2_ge_0 z).
    intros. replace (z * (sigmoid' c * z)) with (sigmoid' c * z ^ 2) by ring.
    apply Rmult_le_pos; lra.
Qed.

Lemma square_le a b : Rabs a <= b -> a ^ 2 <= b ^ 2.
Proof. intros H. rewrite <- (pow2_abs a). apply pow_incr. split; [apply Rabs_pos|exact H]. Qed.

(* map: sigmoid has slopes in (0, 1/4], and how close to 1/4 *)
Theorem sigmoid_slope_range z : / 4 - z ^ 2 / 16 <= sigmoid' z <= / 4 /\ 0 < sigmoid' z.
Proof.
  split; [split; [|apply sigmoid'_le]|apply sigmoid'_pos]. rewrite sigmoid'_quarter.
  assert (K := square_le _ _ (sigmoid_near z)).
  replace ((Rabs z / 4) ^ 2) with (z ^ 2 / 16) in K by (rewrite <- (pow2_abs z); field). lra.
Qed.

(** ** SiLU near 0 *)

(* map: near 0 SiLU is close to z/2 *)
Theorem silu_near z : 0 <= silu z - z / 2 <= z ^ 2 / 4.
Proof.
  unfold silu. replace (z * sigmoid z - z / 2) with (z * (sigmoid z - / 2)) by field.
  split; [apply sigmoid_side|]. apply Rle_trans with (1 := Rle_abs _). rewrite Rabs_mult.
  replace (z ^ 2 / 4) with (Rabs z * (Rabs z / 4)) by (rewrite <- (pow2_abs z); field).
  apply Rmult_le_compat_l; [apply Rabs_pos|apply sigmoid_near].
Qed.

(* map: near 0 the slope of SiLU is close to 1/2 *)
Theorem silu_slope_near z : Rabs (silu' z - / 2) <= Rabs z / 2.
Proof.
  unfold silu'.
  replace (sigmoid z * (1 + z * (1 - sigmoid z)) - / 2) with ((sigmoid z - / 2) + z * sigmoid' z)
    by (unfold sigmoid'; ring).
  apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_mult.
  assert (Rabs z * Rabs (sigmoid' z) <= Rabs z * / 4).
  { apply Rmult_le_compat_l; [apply Rabs_pos|]. generalize (sigmoid'_pos z) (sigmoid'_le z). intros.
    rewrite Rabs_pos_eq; lra. }
  generalize (sigmoid_near z). lra.
Qed.

Lemma silu_abs z : Rabs (silu z) <= Rabs z.
Proof.
  unfold silu. rewrite Rabs_mult. assert (H := sigmoid_01 z).
  rewrite (Rabs_pos_eq (sigmoid z)) by lra. rewrite <- (Rmult_1_r (Rabs z)) at 2.
  apply Rmult_le_compat_l; [apply Rabs_pos|lra].
Qed.

(** ** All slopes of SiLU *)

Lemma sigmoid'_exp z : sigmoid' z = / (exp z + 2 + exp (- z)).
Proof.
  unfold sigmoid', sigmoid. assert (H := exp_pos (- z)). replace (exp z) with (/ exp (- z)).
  - field. split; [lra|]. nra.
  - rewrite <- exp_Ropp. f_equal. lra.
Qed.

Lemma exp_square t : 0 < t -> (1 + t / 2) ^ 2 <= exp t.
Proof.
  intros H. replace (exp t) with (exp (t / 2) * exp (t / 2)) by (rewrite <- exp_plus; f_equal; lra).
  assert (K : 1 + t / 2 < exp (t / 2)) by (apply exp_ineq1; lra). nra.
Qed.

Lemma tail z : 50 <= Rabs z -> Rabs (z * sigmoid' z) <= 0.08.
Proof.
  intros H. rewrite sigmoid'_exp. generalize (exp_pos z) (exp_pos (- z)). intros P1 P2.
  rewrite Rabs_mult, (Rabs_pos_eq (/ _)) by (apply Rlt_le, Rinv_0_lt_compat; lra).
  assert (Q := exp_square (Rabs z) ltac:(lra)).
  assert (exp (Rabs z) <= exp z + 2 + exp (- z)) by (unfold Rabs; destruct Rcase_abs; lra).
  apply (Rmult_le_reg_r (exp z + 2 + exp (- z))); [lra|]. rewrite Rmult_assoc, Rinv_l by lra. nra.
Qed.

(** silu'(z) - 1/2 is odd, so that one side bounds the other. *)
Lemma silu'_opp z : silu' (- z) = 1 - silu' z.
Proof. unfold silu'. rewrite sigmoid_opp. ring. Qed.

Lemma silu'_upper z : silu' z <= 1.09984.
Proof.
  destruct (Rle_or_lt (Rabs z) 50) as [H|H].
  - assert (-50 <= z <= 50) by (unfold Rabs in H; destruct Rcase_abs in H; lra).
    unfold silu', sigmoid.
    interval with (i_bisect z, i_taylor z, i_depth 30, i_prec 60).
  - replace (silu' z) with (sigmoid z + z * sigmoid' z) by (unfold silu', sigmoid'; ring).
    generalize (tail z (Rlt_le _ _ H)) (sigmoid_01 z) (Rle_abs (z * sigmoid' z)). lra.
Qed.

(* map: SiLU has slopes from -0.09984 to 1.09984 *)
Theorem silu_slope_range z : -0.09984 <= silu' z <= 1.09984.
Proof.
  split; [|apply silu'_upper]. assert (K := silu'_upper (- z)). rewrite silu'_opp in K. lra.
Qed.
