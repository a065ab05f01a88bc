(** * Batch normalisation, as runtimes execute it

    Numbers [gamma], [beta], [mean], [var >= 0] and [eps >= 2^-100]; exactly,
    [gamma (y - mean) / sqrt (var + eps) + beta].

    - [deviation_relative]: the rounded root of the rounded sum is within [15/8 u] of
      [sqrt (var + eps)];
    - [batch_norm_about]: in each of the forms [centred], [scaled] and [factored] the result is
      within seven roundings of the terms that it adds up, and underflow ([flush]), if [y] is within
      [E] of an exact [s], which the factor multiplies.

    A division may be a product with the rounded reciprocal; subnormal operands may be read as 0;
    what is rounded may as well be exact, so a fused multiply-add is covered. The square root is
    taken to be within [u] and [eta] of the exact root of what it reads. All numbers are finite:
    overflow is not treated. Neither is an approximate reciprocal square root. With the sum before
    it, and folded: BatchNormSums.v. Rests on Perturbed.v. Stands behind [batch_norm] in
    affine.py. *)

From Coq Require Import Reals Lra Lia.
From Lastbit Require Import Statement binary32.Terms operations.Perturbed.
Open Scope R_scope.

(** ** The deviation *)

Section Parameters.
Variables gamma beta mean var eps : R.
Hypothesis Hvar : 0 <= var.
Hypothesis Heps : / 2 ^ 100 <= eps.

Definition deviation : R := sqrt (var + eps).
Definition factor : R := gamma / deviation.

(** The square root of the sum, rounded. *)
Definition deviates (d : R) : Prop :=
  exists v v', operation Rplus var eps v /\ reads v v' /\ rounded (sqrt v') d.

Lemma deviation_large : / 2 ^ 50 <= deviation.
Proof.
  unfold deviation.
  replace (/ 2 ^ 50) with (sqrt (/ 2 ^ 50 * / 2 ^ 50)) by (apply sqrt_square; lra).
  apply sqrt_le_1; lra.
Qed.

Lemma deviation_relative d : deviates d -> Rabs (d - deviation) <= 15 / 8 * u * deviation.
Proof.
  intros (v & v' & (a & b & Ha & Hb & Hv) & Rv & Hd). assert (Hu := u_pos). assert (He := eta_pos).
  assert (D0 := deviation_large). set (s := var + eps) in *.
  assert (S0 : / 2 ^ 100 <= s) by (unfold s; lra).
  assert (E1 : 64 * eta <= u * / 2 ^ 50) by (unfold eta, u; lra).
  assert (E2 : 4 * eta <= u * s)
    by (apply Rle_trans with (u * / 2 ^ 100); [unfold eta, u; lra|apply Rmult_le_compat_l; lra]).
  assert (E3 : eta <= / 2 ^ 110) by (unfold eta; lra).
  assert (B : b = eps)
    by (destruct Hb as [Hb|[_ Hb]];
      [exact Hb|rewrite Rabs_pos_eq in Hb by lra; unfold eta in Hb; lra]).
  assert (A : s - eta <= a + b <= s).
  { rewrite B. unfold s. destruct Ha as [->|[-> Ha]]; [split; lra|].
    rewrite Rabs_pos_eq in Ha by lra. split; lra. }
  unfold rounded in Hv. rewrite (Rabs_pos_eq (a + b)) in Hv by lra.
  assert (V : Rabs (v - s) <= 3 / 2 * u * s).
  { replace (v - s) with ((v - (a + b)) + (a + b - s)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _). rewrite (Rabs_left1 (a + b - s)) by lra.
    assert (u * (a + b) <= u * s) by (apply Rmult_le_compat_l; lra). lra. }
  assert (Us : u * s <= / 2 ^ 10 * s) by (apply Rmult_le_compat_r; [lra|unfold u; lra]).
  assert (V2 : s - 3 / 2 * u * s <= v <= s + 3 / 2 * u * s)
    by (unfold Rabs in V; destruct Rcase_abs in V; split; lra).
  assert (V3 : v' = v)
    by (destruct Rv as [Rv|[_ Rv]];
      [exact Rv|rewrite Rabs_pos_eq in Rv by lra; unfold eta in Rv; lra]).
  subst v' b. (* the root of v is within 13/16 u of that of s *)
  assert (Q : Rabs (sqrt v - deviation) <= 13 / 16 * u * deviation).
  { assert (P1 : sqrt v * sqrt v = v) by (apply sqrt_sqrt; lra).
    assert (P2 : deviation * deviation = s) by (apply sqrt_sqrt; lra).
    assert (P3 := sqrt_pos v). set (x := sqrt v) in *. set (y := deviation) in *.
    assert (U8 : u <= / 2 ^ 10) by (unfold u; lra).
    apply Rabs_le. split.
    - apply Rnot_lt_le. intros N.
      assert (x * x <= (y - 13 / 16 * u * y) * (y - 13 / 16 * u * y))
        by (apply Rmult_le_compat; lra).
      assert (u * u * (y * y) <= / 2 ^ 10 * u * (y * y))
        by (apply Rmult_le_compat_r; [nra|apply Rmult_le_compat_r; lra]).
      assert (0 < u * (y * y)) by (apply Rmult_lt_0_compat; nra). nra.
    - apply Rnot_lt_le. intros N.
      assert ((y + 13 / 16 * u * y) * (y + 13 / 16 * u * y) <= x * x).
      { assert (0 <= u * y) by (apply Rmult_le_pos; lra). apply Rmult_le_compat; lra. }
      assert (0 < u * (y * y)) by (apply Rmult_lt_0_compat; nra). nra. }
  unfold rounded in Hd. rewrite (Rabs_pos_eq (sqrt v)) in Hd by apply sqrt_pos.
  replace (d - deviation) with ((d - sqrt v) + (sqrt v - deviation)) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). assert (sqrt v <= 33 / 32 * deviation).
  { apply Rle_trans with (deviation + 13 / 16 * u * deviation);
      [unfold Rabs in Q; destruct Rcase_abs in Q; lra|].
    assert (u * deviation <= / 32 * deviation) by (apply Rmult_le_compat_r; [lra|unfold u; lra]).
    lra. }
  assert (u * sqrt v <= u * (33 / 32 * deviation)) by (apply Rmult_le_compat_l; lra).
  assert (u * / 2 ^ 50 <= u * deviation) by (apply Rmult_le_compat_l; lra). lra.
Qed.

Lemma inverse_deviation d : deviates d -> about 2 (/ deviation) 0 (/ deviation) (/ d).
Proof.
  intros H. assert (K := deviation_relative d H). assert (D0 := deviation_large).
  assert (Hu := u_pos). assert (U8 : u <= / 2 ^ 10) by (unfold u; lra). split; [lra|].
  split; [rewrite Rabs_pos_eq; [lra|apply Rlt_le, Rinv_0_lt_compat; lra]|].
  set (y := deviation) in *.
  assert (Uy : 0 <= u * y <= / 2 ^ 10 * y)
    by (split; [apply Rmult_le_pos|apply Rmult_le_compat_r]; lra).
  assert (B : y - 15 / 8 * u * y <= d <= y + 15 / 8 * u * y)
    by (unfold Rabs in K; destruct Rcase_abs in K; split; lra).
  assert (Pd : 0 < d) by lra. replace (/ d - / y) with ((y - d) * (/ y * / d)) by (field; lra).
  rewrite Rabs_mult, (Rabs_minus_sym y d), (Rabs_pos_eq (/ y * / d))
    by (apply Rlt_le, Rmult_lt_0_compat; apply Rinv_0_lt_compat; lra).
  rewrite Rmult_0_r, Rplus_0_r. replace ((1 + u) ^ 2 - 1) with (2 * u + u * u) by ring.
  apply (Rmult_le_reg_r (y * d)); [apply Rmult_lt_0_compat; lra|].
  replace (Rabs (d - y) * (/ y * / d) * (y * d)) with (Rabs (d - y)) by (field; lra).
  replace ((2 * u + u * u) * / y * (y * d)) with ((2 * u + u * u) * d) by (field; lra).
  assert (2 * u * (y - 15 / 8 * u * y) <= 2 * u * d) by (apply Rmult_le_compat_l; lra).
  assert (u * (u * y) <= u * (/ 2 ^ 10 * y)) by (apply Rmult_le_compat_l; lra).
  assert (0 <= u * u * d) by (apply Rmult_le_pos; [nra|lra]). lra.
Qed.

Lemma about_quotient k M D t v d r : about k M D t v -> deviates d -> quotient v d r ->
  about (4 + k) (/ deviation * M) (/ deviation * (D + eta) + 2 * eta * (M + D + eta) + eta)
  (t / deviation) r.
Proof.
  intros H Hd Hq. assert (I := inverse_deviation d Hd). assert (He := eta_pos).
  assert (HM := about_M _ _ _ _ _ H). assert (D0 := proj1 H).
  replace (t / deviation) with (/ deviation * t) by (unfold Rdiv; ring).
  destruct Hq as [(a & Ha & Hr)|(i & Hi & Hr)].
  - replace (a / d) with (/ d * a) in Hr by (unfold Rdiv; ring).
    assert (K :=
      about_rounded _ _ _ _ _ _ (about_mult _ _ _ _ _ _ _ _ _ _ I (about_reads _ _ _ _ _ _ H Ha))
      Hr).
    assert (0 <= eta * (M + D + eta)) by (apply Rmult_le_pos; lra).
    apply (about_more _ _ _ _ _ _ _ K); [lia|lra].
  - assert (K :=
      about_operation_mult _ _ _ _ _ _ _ _ _ _ _ (about_rounded _ _ _ _ _ _ I Hi) H
      (operation_mult_comm _ _ _ Hr)).
    apply (about_more _ _ _ _ _ _ _ K); [lia|lra].
Qed.

(** ** The forms *)

(** (y - mean) / deviation * gamma + beta *)
Definition centred (y z : R) : Prop := exists d a q m,
  deviates d /\ operation Rminus y mean a /\ quotient a d q /\ operation Rmult q gamma m /\
  operation Rplus m beta z.

Definition factor_is (f : R) : Prop := exists d, deviates d /\ quotient gamma d f.

(** y * f + (beta - mean * f) *)
Definition scaled (y z : R) : Prop := exists f p m s,
  factor_is f /\ operation Rmult y f p /\ operation Rmult mean f m /\ operation Rminus beta m s /\
  operation Rplus p s z.

(** (y - mean) * f + beta *)
Definition factored (y z : R) : Prop := exists f a p,
  factor_is f /\ operation Rminus y mean a /\ operation Rmult a f p /\ operation Rplus p beta z.

Definition batch_norm (y z : R) : Prop := centred y z \/ scaled y z \/ factored y z.

(** The exact result, and the magnitudes in it. *)
Definition normalised (y : R) : R := factor * (y - mean) + beta.
Definition mass (m : R) : R := Rabs factor * (m + Rabs mean) + Rabs beta.

(** Underflow, and subnormal numbers read as 0. *)
Definition flush (m : R) : R := 32 * eta * ((1 + Rabs gamma) * (1 + / deviation) * (1 + m)).

Lemma factor_abs : Rabs factor = Rabs gamma * / deviation.
Proof.
  unfold factor, Rdiv. rewrite Rabs_mult. f_equal. apply Rabs_pos_eq, Rlt_le, Rinv_0_lt_compat.
  generalize deviation_large. lra.
Qed.

Lemma inverse_pos : 0 <= / deviation.
Proof. apply Rlt_le, Rinv_0_lt_compat. generalize deviation_large. lra. Qed.

Lemma tiny_mono a b : a <= b -> flush a <= flush b.
Proof.
  intros H. unfold flush. assert (I := inverse_pos). assert (G := Rabs_pos gamma).
  assert (He := eta_pos). apply Rmult_le_compat_l; [lra|].
  apply Rmult_le_compat_l; [apply Rmult_le_pos; lra|lra].
Qed.

Lemma tiny_pos a : 0 <= a -> 0 <= flush a.
Proof.
  intros H. unfold flush. assert (I := inverse_pos). assert (G := Rabs_pos gamma).
  assert (He := eta_pos). repeat apply Rmult_le_pos; lra.
Qed.

Lemma about_factor f : factor_is f ->
  about 4 (Rabs factor) (eta * (/ deviation + 2 * Rabs gamma + 2)) factor f.
Proof.
  intros (d & Hd & Hq). assert (K := about_quotient _ _ _ _ _ _ _ (about_itself gamma) Hd Hq).
  rewrite factor_abs, Rmult_comm. apply (about_more _ _ _ _ _ _ _ K); [lia|].
  generalize (eta_tiny eta (Rlt_le _ _ eta_pos)) eta_pos. lra.
Qed.

(** Seven roundings, whatever the form. *)
(* map: batch normalisation is a factor and a constant, within seven roundings *)
Theorem batch_norm_about M E s y z : about 0 M E s y -> batch_norm y z ->
  about 7 (mass M) (Rabs factor * E + flush (M + Rabs mean + E)) (normalised s) z.
Proof.
  intros Hy H. assert (HM := about_M _ _ _ _ _ Hy). assert (E0 := proj1 Hy). assert (He := eta_pos).
  assert (G := Rabs_pos gamma). assert (I := inverse_pos). assert (Mm := Rabs_pos mean).
  unfold mass, normalised, flush.
  destruct H
    as [(d & a & q & m & Hd & Ha & Hq & Hm &
      Hz)|[(f & p & m & t & Hf & Hp & Hm & Ht & Hz)|(f & a & p & Hf & Ha & Hp & Hz)]].
  - assert (K1 := about_operation_minus _ _ _ _ _ _ _ _ _ _ Hy (about_itself mean) Ha).
    assert (K2 := about_quotient _ _ _ _ _ _ _ K1 Hd Hq).
    assert (K3 := about_operation_mult _ _ _ _ _ _ _ _ _ _ _ K2 (about_itself gamma) Hm).
    assert (Kb := about_more 0 6 _ 0 0 _ _ (about_itself beta) ltac:(lia) ltac:(lra)).
    assert (K4 := about_operation_plus _ _ _ _ _ _ _ _ _ _ K3 Kb Hz).
    rewrite factor_abs.
    replace (factor * (s - mean)) with ((s - mean) / deviation * gamma)
      by (unfold factor, Rdiv; ring).
    replace (Rabs gamma * / deviation * (M + Rabs mean))
      with (/ deviation * (M + Rabs mean) * Rabs gamma) by ring.
    apply (about_more _ _ _ _ _ _ _ K4); [lia|].
    set (g := Rabs gamma) in *. set (i := / deviation) in *. set (mm := Rabs mean) in *.
    assert (exists x, x = M + mm /\ 0 <= x) as (x & Hx & X0) by (exists (M + mm); split; lra).
    rewrite <- Hx. nonneg_products g i x E.
    by_eta (g * i * E) (i * x + (i * (E + 4 * eta) + 2 * eta * (x + E + 4 * eta) + 2 * eta) +
      g * (4 * i + 2 * (x + E + 4 * eta) + 2) + 4).
    lra.
  - assert (Kf := about_factor f Hf).
    assert (K1 := about_operation_mult _ _ _ _ _ _ _ _ _ _ _ Kf Hy (operation_mult_comm _ _ _ Hp)).
    assert (K2 :=
      about_operation_mult _ _ _ _ _ _ _ _ _ _ _ Kf (about_itself mean)
      (operation_mult_comm _ _ _ Hm)).
    assert (Kb := about_more 0 5 _ 0 0 _ _ (about_itself beta) ltac:(lia) ltac:(lra)).
    assert (K3 := about_operation_minus _ _ _ _ _ _ _ _ _ _ Kb K2 Ht).
    assert (K4 :=
      about_operation_plus _ _ _ _ _ _ _ _ _ _ (about_more _ 6 _ _ _ _ _ K1 ltac:(lia) (Rle_refl _))
      K3 Hz).
    replace (factor * (s - mean) + beta) with (factor * s + (beta - factor * mean)) by ring.
    replace (Rabs factor * (M + Rabs mean) + Rabs beta)
      with (Rabs factor * M + (Rabs beta + Rabs factor * Rabs mean)) by ring.
    apply (about_more _ _ _ _ _ _ _ K4); [lia|]. rewrite factor_abs.
    set (g := Rabs gamma) in *. set (i := / deviation) in *. set (mm := Rabs mean) in *.
    assert (exists x, x = M + mm /\ 0 <= x) as (x & Hx & X0) by (exists (M + mm); split; lra).
    replace M with (x - mm) by lra. replace (x - mm + mm) with x by ring. nonneg_products g i x E.
    by_eta (g * i * E) (2 * (g * i) + (i + 2 * g + 3) * (x + E + 2 * eta) + 8).
    lra.
  - assert (Kf := about_factor f Hf).
    assert (K1 := about_operation_minus _ _ _ _ _ _ _ _ _ _ Hy (about_itself mean) Ha).
    assert (K2 := about_operation_mult _ _ _ _ _ _ _ _ _ _ _ Kf K1 (operation_mult_comm _ _ _ Hp)).
    assert (Kb := about_more 0 6 _ 0 0 _ _ (about_itself beta) ltac:(lia) ltac:(lra)).
    assert (K3 := about_operation_plus _ _ _ _ _ _ _ _ _ _ K2 Kb Hz).
    apply (about_more _ _ _ _ _ _ _ K3); [lia|]. rewrite factor_abs.
    set (g := Rabs gamma) in *. set (i := / deviation) in *. set (mm := Rabs mean) in *.
    assert (exists x, x = M + mm /\ 0 <= x) as (x & Hx & X0) by (exists (M + mm); split; lra).
    rewrite <- Hx. nonneg_products g i x E.
    by_eta (g * i * E) (4 * (g * i) + (i + 2 * g + 3) * (x + E + 4 * eta) + 4).
    lra.
Qed.
End Parameters.
