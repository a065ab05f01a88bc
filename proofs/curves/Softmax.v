(** * Softmax: from a change of the logits' differences to a change of a probability

    - [softmax_change]: if every difference [z_j - z_c] moves by at most [r], the probability of
      class [c] moves by at most [tanh(r / 4)];
    - [tanh_is], [tanh_le]: how the checker bounds tanh from above.

    Rests on nothing but real arithmetic. Stands behind [Claim.upper] of conclude.py (docs/bound.md,
    section 5) and [tanh_upper] of enclosure.py. *)

From Coq Require Import Reals Lra Lia List Psatz.
From Lastbit Require Import Statement Totals.
Import ListNotations.
Open Scope R_scope.

(** ** Softmax of real logits *)

Definition softmax (n : nat) (z : nat -> R) (c : nat) : R :=
  exp (z c) / over n (fun j => exp (z j)).

(** Everything relative to class [c]. *)
Definition others (n : nat) (z : nat -> R) (c : nat) : R :=
  over n (fun j => if Nat.eq_dec j c then 0 else exp (z j - z c)).

Lemma others_pos n z c : 0 <= others n z c.
Proof. apply over_pos. intros j _. destruct Nat.eq_dec; [lra|apply Rlt_le, exp_pos]. Qed.

Lemma over_others n z c : over n (fun j => exp (z j)) =
  (if (c <? n)%nat then exp (z c) else 0) + exp (z c) * others n z c.
Proof.
  unfold others. induction n as [|n IH]; [cbn; lra|].
  rewrite !over_S, IH. clear IH.
  destruct (Nat.ltb_spec c n), (Nat.ltb_spec c (S n)), (Nat.eq_dec n c) as [->|N]; try lia;
    try (replace (exp (z n)) with (exp (z c) * exp (z n - z c))
      by (rewrite <- exp_plus; f_equal; lra)); lra.
Qed.

Lemma softmax_others n z c : (c < n)%nat -> softmax n z c = / (1 + others n z c).
Proof.
  intros Hc. unfold softmax. rewrite (over_others n z c). destruct (Nat.ltb_spec c n); [|lia].
  generalize (exp_pos (z c)) (others_pos n z c). intros P Q.
  replace (exp (z c) + exp (z c) * others n z c) with (exp (z c) * (1 + others n z c)) by ring.
  field. lra.
Qed.

(** Moving every difference by at most [r] multiplies what is relative to class [c] by at most
    [exp r]. *)
Lemma others_move n z z' c r : (forall j, (j < n)%nat -> (z' j - z' c) - (z j - z c) <= r) ->
  others n z' c <= exp r * others n z c.
Proof.
  intros H. unfold others. rewrite <- over_scale. apply over_le. intros j Hj.
  destruct Nat.eq_dec; [lra|]. rewrite <- exp_plus. specialize (H j Hj).
  destruct (Rle_lt_or_eq_dec (z' j - z' c) (r + (z j - z c)) ltac:(lra)) as [L| ->]; [|lra].
  apply Rlt_le, exp_increasing, L.
Qed.

Lemma ratio k s s' : 1 <= k -> 0 <= s -> 0 <= s' -> s' <= k * k * s ->
  / (1 + s) - / (1 + s') <= (k - 1) / (k + 1).
Proof.
  intros Hk Hs Hs' H.
  assert (P : 0 <= k * k * s) by (repeat apply Rmult_le_pos; lra).
  apply Rle_trans with (/ (1 + s) - / (1 + k * k * s)).
  - assert (/ (1 + k * k * s) <= / (1 + s')) by (apply Rinv_le_contravar; lra). lra.
  - replace (/ (1 + s) - / (1 + k * k * s)) with ((k * k - 1) * s / ((1 + s) * (1 + k * k * s)))
      by (field; split; lra).
    assert (D : 0 < (1 + s) * (1 + k * k * s)) by (apply Rmult_lt_0_compat; lra).
    apply (Rmult_le_reg_r ((1 + s) * (1 + k * k * s))); [exact D|].
    unfold Rdiv at 1. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
    apply (Rmult_le_reg_r (k + 1)); [lra|].
    replace ((k - 1) / (k + 1) * ((1 + s) * (1 + k * k * s)) * (k + 1)) with
      ((k - 1) * ((1 + s) * (1 + k * k * s))) by (field; lra).
    replace ((k * k - 1) * s * (k + 1)) with ((k - 1) * (s * (k + 1) ^ 2)) by ring.
    apply Rmult_le_compat_l; [lra|]. generalize (pow2_ge_0 (1 - k * s)). lra.
Qed.

(** ** tanh *)

Lemma tanh_is x : tanh x = 1 - 2 / (exp (2 * x) + 1).
Proof.
  unfold tanh, sinh, cosh.
  replace (exp (2 * x)) with (exp x * exp x) by (rewrite <- exp_plus; f_equal; lra).
  rewrite exp_Ropp. assert (P := exp_pos x). field. split; nra.
Qed.

Lemma tanh_le x : 0 <= x -> tanh x <= x /\ tanh x <= 1.
Proof.
  intros H. rewrite tanh_is. assert (P := exp_pos (2 * x)).
  assert (Q : 0 < 2 / (exp (2 * x) + 1)) by (apply Rdiv_lt_0_compat; lra). split; [|lra].
  destruct (Rle_or_lt 1 x) as [L|L]; [lra|].
  (* exp (2x) (1 - x) <= 1 + x, because exp (2x) / (1 + x) (1 - x) decreases from 1 *)
  assert (K : exp (2 * x) * (1 - x) <= 1 + x).
  { pose (g := fun t => exp (- (2 * t)) * (1 + t) - (1 - t)).
    assert (G : 0 <= g x).
    { destruct H as [H| <-]; [|unfold g; rewrite Rmult_0_r, Ropp_0, exp_0; lra].
      assert (D : forall t, derivable_pt_lim g t (exp (- (2 * t)) * (- 1 - 2 * t) + 1)).
      { intros t. unfold g. replace (exp (- (2 * t)) * (- 1 - 2 * t) + 1) with
          ((exp (- (2 * t)) * (- (2 * 1)) * (1 + t) + exp (- (2 * t)) * (0 + 1)) - (0 - 1)) by ring.
        apply derivable_pt_lim_minus;
          [|apply derivable_pt_lim_minus; [apply derivable_pt_lim_const|apply derivable_pt_lim_id]].
        apply (derivable_pt_lim_mult (fun t => exp (- (2 * t))) (fun t => 1 + t)).
        - apply (derivable_pt_lim_comp (fun t => - (2 * t)) exp); [|apply derivable_pt_lim_exp].
          apply (derivable_pt_lim_opp (fun t => 2 * t)).
          apply (derivable_pt_lim_scal id). apply derivable_pt_lim_id.
        - apply derivable_pt_lim_plus; [apply derivable_pt_lim_const|apply derivable_pt_lim_id]. }
      destruct (MVT_cor2 g (fun t => exp (- (2 * t)) * (- 1 - 2 * t) + 1) 0 x H (fun t _ => D t))
        as (t & E & Ht).
      assert (g 0 = 0) by (unfold g; rewrite Rmult_0_r, Ropp_0, exp_0; lra).
      assert (0 <= exp (- (2 * t)) * (- 1 - 2 * t) + 1).
      { assert (exp (- (2 * t)) * (1 + 2 * t) <= 1); [|lra].
        rewrite exp_Ropp. assert (Pt := exp_pos (2 * t)).
        apply (Rmult_le_reg_l (exp (2 * t))); [exact Pt|].
        rewrite <- Rmult_assoc, Rinv_r, Rmult_1_l, Rmult_1_r by lra. apply Rlt_le, exp_ineq1. lra. }
      assert (0 <= (exp (- (2 * t)) * (- 1 - 2 * t) + 1) * (x - 0)) by (apply Rmult_le_pos; lra).
      lra. }
    unfold g in G. rewrite exp_Ropp in G.
    assert (exp (2 * x) * (1 - x) <= exp (2 * x) * (/ exp (2 * x) * (1 + x)))
      by (apply Rmult_le_compat_l; lra).
    rewrite <- Rmult_assoc, Rinv_r, Rmult_1_l in H0 by lra. exact H0. }
  apply (Rmult_le_reg_r (exp (2 * x) + 1)); [lra|].
  replace ((1 - 2 / (exp (2 * x) + 1)) * (exp (2 * x) + 1)) with (exp (2 * x) - 1) by (field; lra).
  lra.
Qed.

(** ** The theorem *)

(* map: if differences of logits move by r, a probability moves by tanh(r/4) *)
Theorem softmax_change n z z' c r : (c < n)%nat ->
  (forall j, (j < n)%nat -> Rabs ((z' j - z' c) - (z j - z c)) <= r) ->
  Rabs (softmax n z' c - softmax n z c) <= tanh (r / 4).
Proof.
  intros Hc H. rewrite !softmax_others by assumption.
  assert (Hr : 0 <= r) by (apply Rle_trans with (2 := H c Hc); apply Rabs_pos).
  assert (B : forall j, (j < n)%nat -> - r <= (z' j - z' c) - (z j - z c) <= r).
  { intros j Hj. specialize (H j Hj). unfold Rabs in H. destruct Rcase_abs in H; lra. }
  assert (M1 := others_move n z z' c r ltac:(intros j Hj; specialize (B j Hj); lra)).
  assert (M2 := others_move n z' z c r ltac:(intros j Hj; specialize (B j Hj); lra)).
  assert (P1 := others_pos n z c). assert (P2 := others_pos n z' c).
  set (k := exp (r / 2)). assert (Hk : 1 <= k).
  { unfold k. rewrite <- exp_0. destruct Hr as [Hr| <-]; [apply Rlt_le, exp_increasing; lra|].
    right. f_equal. lra. }
  assert (Kk : exp r = k * k) by (unfold k; rewrite <- exp_plus; f_equal; lra).
  rewrite Kk in M1, M2. assert (T : tanh (r / 4) = (k - 1) / (k + 1)).
  { rewrite tanh_is. replace (2 * (r / 4)) with (r / 2) by field. fold k. field. lra. }
  rewrite T. unfold Rabs. destruct Rcase_abs.
  - rewrite Ropp_minus_distr. now apply ratio.
  - now apply ratio.
Qed.
