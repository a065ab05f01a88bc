(** * What an operation returns, and operands that are read

    - [rounds_error], [shifts_error]: the error of one operation; [rounds_exact], [shifts_exact]: it
      may be none;
    - [reads_error], [reads_product]: what subnormal operands that are read as 0 come to.

    The first consequences of Statement.v, section 1. Terms.v goes on from here. *)

From Coq Require Import Reals Lra.
From Lastbit Require Import Statement.
Open Scope R_scope.

Lemma u_pos : 0 < u. Proof. unfold u. apply Rinv_0_lt_compat, pow_lt; lra. Qed.
Lemma eta_pos : 0 < eta. Proof. unfold eta. apply Rinv_0_lt_compat, pow_lt; lra. Qed.

(** ** Results, and operands that are read *)

Lemma rounds_error t v : rounds t v -> Rabs t <= largest ->
  exists r, v = Finite r /\ Rabs (r - t) <= u * Rabs t + eta.
Proof.
  intros H L. destruct (H L) as (r & -> & E). exists r. split; [reflexivity|].
  assert (0 <= u * Rabs t) by (apply Rmult_le_pos; [apply Rlt_le, u_pos|apply Rabs_pos]).
  generalize eta_pos. destruct E as [E|[_ E]]; lra.
Qed.

Lemma shifts_error t v : shifts t v -> Rabs t <= largest -> exists r, v = Finite r /\
  Rabs (r - t) <= eta.
Proof.
  intros H L. destruct (H L) as (r & -> & E). exists r. split; [reflexivity|].
  destruct E as [->|[_ E]]; [|exact E]. rewrite Rminus_diag_eq, Rabs_R0 by reflexivity.
  apply Rlt_le, eta_pos.
Qed.

Lemma shifts_rounds t v : shifts t v -> rounds t v.
Proof.
  intros H L. destruct (H L) as (r & -> & E). exists r. split; [reflexivity|].
  destruct E as [->|E]; [left|now right].
  rewrite Rminus_diag_eq, Rabs_R0 by reflexivity.
  apply Rmult_le_pos; [apply Rlt_le, u_pos|apply Rabs_pos].
Qed.

Lemma shifts_exact t : shifts t (Finite t).
Proof. intros _. exists t. split; [reflexivity|now left]. Qed.

Lemma rounds_exact t : rounds t (Finite t).
Proof. apply shifts_rounds, shifts_exact. Qed.

Lemma largest_pos : 2 ^ 127 <= largest. Proof. unfold largest. lra. Qed.

Lemma rounds_0 v : rounds 0 v -> v = Finite 0.
Proof.
  intros H. destruct H as (r & -> & E); [rewrite Rabs_R0; generalize largest_pos; lra|]. f_equal.
  rewrite Rminus_0_r, Rabs_R0, Rmult_0_r in E. destruct E as [E|[E _]]; [|lra].
  destruct (Req_dec r 0) as [Z|Z]; [exact Z|]. apply Rabs_pos_lt in Z. lra.
Qed.

Lemma reads_refl x : reads x x. Proof. now left. Qed.

Lemma reads_trans x y z : reads x y -> reads y z -> reads x z.
Proof.
  intros [->|[-> H]]; [easy|]. intros [->|[-> _]]; right; auto.
Qed.

Lemma reads_0 x : reads 0 x -> x = 0. Proof. now intros [->|[-> _]]. Qed.

Lemma reads_error x y : reads x y -> Rabs (y - x) <= eta.
Proof.
  intros [->|[-> H]]; [rewrite Rminus_diag_eq, Rabs_R0 by easy; apply Rlt_le, eta_pos|].
  now rewrite Rminus_0_l, Rabs_Ropp.
Qed.

Lemma reads_abs x y : reads x y -> Rabs y <= Rabs x.
Proof. intros [->|[-> _]]; [lra|]. rewrite Rabs_R0. apply Rabs_pos. Qed.

(** A product of operands that are read: off by [eta] times the other operand. *)
Lemma reads_product w x w' x' : reads w w' -> reads x x' ->
  Rabs (w' * x' - w * x) <= eta * (Rabs w + Rabs x) /\ Rabs (w' * x') <= Rabs (w * x).
Proof.
  intros Hw Hx. split.
  - assert (He := eta_pos). assert (Pw := Rabs_pos w). assert (Px := Rabs_pos x).
    destruct Hw as [->|[-> Hw]].
    + replace (w * x' - w * x) with (w * (x' - x)) by ring. rewrite Rabs_mult.
      assert (K := reads_error _ _ Hx).
      assert (Rabs w * Rabs (x' - x) <= Rabs w * eta) by now apply Rmult_le_compat_l.
      assert (0 <= eta * Rabs x) by (apply Rmult_le_pos; lra). lra.
    + rewrite Rmult_0_l, Rminus_0_l, Rabs_Ropp, Rabs_mult.
      assert (Rabs w * Rabs x <= eta * Rabs x) by now apply Rmult_le_compat_r.
      assert (0 <= eta * Rabs w) by (apply Rmult_le_pos; lra). lra.
  - rewrite !Rabs_mult. apply Rmult_le_compat; try apply Rabs_pos; now apply reads_abs.
Qed.
