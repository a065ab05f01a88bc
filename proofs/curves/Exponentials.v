(** * One exponential and one quotient of the computed softmax

    - [rounded_argument]: rounding the difference [t <= 0] of two logits changes [exp t] by at most
      0.44 u, because [|t| exp t <= 1/e];
    - [quotient_error]: a quotient [e / s], by division or by the rounded reciprocal of [s], is
      finite and within 2.2 u.

    Rests on Terms.v. Used by Probabilities.v. *)

From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Sums
  binary32.Layers curves.Softmax.
Import ListNotations.
Open Scope R_scope.

Lemma eta_u : eta <= u / 2 ^ 30. Proof. unfold eta, u. lra. Qed.

(** ** One exponential *)

Lemma exp_apart a b : a <= b -> exp b - exp a <= (b - a) * exp b.
Proof.
  intros H. assert (E : exp a = exp b * exp (a - b)) by (rewrite <- exp_plus; f_equal; lra).
  rewrite E. assert (P := exp_pos b). assert (K : 1 + (a - b) <= exp (a - b)).
  { destruct (Req_dec a b) as [->|N]; [rewrite Rminus_diag_eq, exp_0 by easy; lra|].
    apply Rlt_le. destruct (Rle_lt_or_eq_dec (a - b) 0 ltac:(lra)) as [L|L]; [|lra].
    apply exp_ineq1. lra. }
  assert (exp b * (1 + (a - b)) <= exp b * exp (a - b)) by (apply Rmult_le_compat_l; lra). lra.
Qed.

Lemma x_exp x : 0 <= x -> x * exp (- x) <= exp (-1).
Proof.
  intros H. assert (K : x <= exp (x - 1)).
  { destruct (Req_dec x 1) as [->|N]; [rewrite Rminus_diag_eq, exp_0 by easy; lra|].
    apply Rlt_le. replace x with (1 + (x - 1)) at 1 by ring. apply exp_ineq1. lra. }
  replace (exp (-1)) with (exp (x - 1) * exp (- x)) by (rewrite <- exp_plus; f_equal; lra).
  apply Rmult_le_compat_r; [apply Rlt_le, exp_pos|exact K].
Qed.

Lemma exp_tenth : exp (/ 10) <= 1.112.
Proof.
  assert (K : 1 + - / 10 < exp (- / 10)) by (apply exp_ineq1; lra). rewrite exp_Ropp in K.
  assert (P := exp_pos (/ 10)). apply (Rmult_lt_compat_r (exp (/ 10))) in K; [|exact P].
  rewrite Rinv_l in K by lra. lra.
Qed.

Lemma exp_minus_1 : exp (-1) <= 0.38.
Proof.
  assert (K : 1 + / 16 < exp (/ 16)) by (apply exp_ineq1; lra).
  assert (Q : forall t, exp (2 * t) = exp t ^ 2)
    by (intros; replace (2 * t) with (t + t) by ring; rewrite exp_plus; ring).
  assert (K2 : (1 + / 16) ^ 2 <= exp (2 * / 16)) by (rewrite Q; apply pow_incr; lra).
  assert (K4 : ((1 + / 16) ^ 2) ^ 2 <= exp (2 * (2 * / 16))) by (rewrite Q; apply pow_incr; lra).
  assert (K8 : (((1 + / 16) ^ 2) ^ 2) ^ 2 <= exp (2 * (2 * (2 * / 16))))
    by (rewrite Q; apply pow_incr; lra).
  assert (K16 : ((((1 + / 16) ^ 2) ^ 2) ^ 2) ^ 2 <= exp (2 * (2 * (2 * (2 * / 16)))))
    by (rewrite Q; apply pow_incr; lra).
  replace (2 * (2 * (2 * (2 * / 16)))) with 1 in K16 by field.
  replace (exp (-1)) with (/ exp 1) by (rewrite <- exp_Ropp; f_equal; ring).
  apply (Rmult_le_reg_r (exp 1)); [apply exp_pos|]. rewrite Rinv_l; [lra|].
  generalize (exp_pos 1); lra.
Qed.

(** The rounded difference [d] of a logit from the largest one, [t] exactly. *)
Lemma rounded_argument t d : t <= 0 -> d <= 0 -> Rabs (d - t) <= u * Rabs t + 4 * eta ->
  Rabs (exp d - exp t) <= 0.44 * u.
Proof.
  intros Ht Hd H. assert (Hu := u_pos). assert (He := eta_pos). assert (Eu := eta_u).
  assert (U1 : u <= / 2 ^ 24) by (unfold u; lra).
  rewrite (Rabs_left1 t) in H by exact Ht. set (s := - t) in *.
  assert (Hs : 0 <= s) by (unfold s; lra).
  assert (W : Rabs (exp d - exp t) <= (u * s + 4 * eta) * exp (Rmax d t)).
  { destruct (Rle_or_lt d t) as [L|L].
    - rewrite Rmax_right by exact L. rewrite Rabs_minus_sym, Rabs_pos_eq.
      + apply Rle_trans with (1 := exp_apart d t L).
        apply Rmult_le_compat_r; [apply Rlt_le, exp_pos|].
        unfold Rabs in H; destruct Rcase_abs in H; lra.
      + destruct (Req_dec d t) as [->|]; [lra|].
        assert (exp d < exp t) by (apply exp_increasing; lra). lra.
    - rewrite Rmax_left by lra. rewrite Rabs_pos_eq.
      + apply Rle_trans with (1 := exp_apart t d ltac:(lra)).
        apply Rmult_le_compat_r; [apply Rlt_le, exp_pos|].
        unfold Rabs in H; destruct Rcase_abs in H; lra.
      + assert (exp t < exp d) by (apply exp_increasing; lra). lra. }
  assert (Mx : Rmax d t <= 0) by (apply Rmax_lub; lra).
  assert (My : Rmax d t <= - (s * (1 - u)) + 4 * eta).
  { apply Rmax_lub; [unfold Rabs in H; destruct Rcase_abs in H; unfold s in *; lra|].
    assert (0 <= s * u) by (apply Rmult_le_pos; lra). unfold s in *; lra. }
  assert (E1 : exp (Rmax d t) <= 1).
  { rewrite <- exp_0. destruct Mx as [Mx| ->]; [apply Rlt_le, exp_increasing, Mx|lra]. }
  assert (E2 : exp (Rmax d t) <= exp (- (s * (1 - u))) * exp (/ 10)).
  { rewrite <- exp_plus. apply Rlt_le, exp_increasing. lra. }
  assert (E3 := exp_tenth). assert (E4 := exp_minus_1).
  assert (X := x_exp (s * (1 - u)) ltac:(apply Rmult_le_pos; lra)).
  assert (Y : s * exp (Rmax d t) <= 0.43).
  { apply Rle_trans with (s * (exp (- (s * (1 - u))) * exp (/ 10))); [now apply Rmult_le_compat_l|].
    apply (Rmult_le_reg_r (1 - u)); [lra|].
    replace (s * (exp (- (s * (1 - u))) * exp (/ 10)) * (1 - u)) with
      (s * (1 - u) * exp (- (s * (1 - u))) * exp (/ 10)) by ring.
    apply Rle_trans with (0.38 * 1.112); [|lra].
    apply Rmult_le_compat;
      [apply Rmult_le_pos; [apply Rmult_le_pos; lra|apply Rlt_le, exp_pos]|apply Rlt_le,
        exp_pos|lra|exact E3]. }
  apply Rle_trans with (1 := W).
  replace ((u * s + 4 * eta) * exp (Rmax d t))
    with (u * (s * exp (Rmax d t)) + 4 * eta * exp (Rmax d t)) by ring.
  assert (u * (s * exp (Rmax d t)) <= u * 0.43) by (apply Rmult_le_compat_l; lra).
  assert (4 * eta * exp (Rmax d t) <= 4 * eta * 1) by (apply Rmult_le_compat_l; lra). lra.
Qed.

(** ** Division *)

(** A quotient of [e], about [E <= S], by [s], about [S >= 1]. *)
Lemma quotient_error E S e s y x : 0 <= E <= 1 -> E <= S -> 1 <= S -> 0 <= x <= 0.02 ->
  Rabs (e - E) <= x -> Rabs (s - S) <= x * S -> divides (Finite e) (Finite s) y ->
  S <= largest / 2 ->
  exists p, y = Finite p /\ Rabs (p - e / s) <= 2.2 * u.
Proof.
  intros HE HES HS Hx He Hs D Hl. assert (Hu := u_pos). assert (Ht := eta_pos).
  assert (Eu := eta_u). assert (U1 : u <= / 2 ^ 24) by (unfold u; lra).
  assert (Ls : 1000 <= largest) by (unfold largest; lra).
  assert (Xs : x * S <= 0.02 * S) by (apply Rmult_le_compat_r; lra).
  assert (S1 : 0.98 <= s) by (unfold Rabs in Hs; destruct Rcase_abs in Hs; lra).
  assert (e1 : Rabs e <= 1.02)
    by (unfold Rabs in *; repeat destruct Rcase_abs in *; repeat destruct Rcase_abs; lra).
  assert (I1 : 0 < / s <= 1.03).
  { split; [apply Rinv_0_lt_compat; lra|]. apply (Rmult_le_reg_r s); [lra|]. rewrite Rinv_l by lra.
    lra. }
  assert (Q1 : Rabs (e / s) <= 1.06).
  { unfold Rdiv. rewrite Rabs_mult, (Rabs_pos_eq (/ s)) by lra.
    apply Rle_trans with (1.02 * 1.03); [|lra]. apply Rmult_le_compat; [apply Rabs_pos|lra|lra|lra].
    }
  assert (Big : eta < Rabs s) by (rewrite Rabs_pos_eq; lra).
  destruct D as [D|(i & Di & D)].
  - destruct (D e s eq_refl eq_refl Big) as (e' & Re & Hv).
    assert (Re' := reads_error _ _ Re). assert (Ae := reads_abs _ _ Re).
    assert (Q2 : Rabs (e' / s) <= Rabs (e / s)).
    { unfold Rdiv. rewrite !Rabs_mult. apply Rmult_le_compat_r; [apply Rabs_pos|exact Ae]. }
    assert (Q3 : Rabs (e' / s - e / s) <= eta * 1.03).
    { replace (e' / s - e / s) with ((e' - e) * / s) by (field; lra).
      rewrite Rabs_mult, (Rabs_pos_eq (/ s)) by lra.
      apply Rmult_le_compat; [apply Rabs_pos|lra|lra|lra]. }
    destruct (rounds_error _ _ Hv) as (p & -> & Hp); [lra|]. exists p. split; [reflexivity|].
    replace (p - e / s) with ((p - e' / s) + (e' / s - e / s)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _).
    assert (u * Rabs (e' / s) <= u * 1.06) by (apply Rmult_le_compat_l; lra). lra.
  - destruct (Di 1 s eq_refl eq_refl Big) as (o & Ro & Hi).
    assert (o = 1) as -> by (destruct Ro as [->|[_ Ro]]; [reflexivity|rewrite Rabs_R1 in Ro; lra]).
    assert (V : 1 / s = / s) by (unfold Rdiv; ring). rewrite V in Hi.
    destruct (rounds_error _ _ Hi) as (r & -> & Hr); [rewrite Rabs_pos_eq; lra|].
    rewrite (Rabs_pos_eq (/ s)) in Hr by lra.
    assert (Hr2 : Rabs (r - / s) <= 1.04 * u).
    { apply Rle_trans with (1 := Hr).
      assert (u * / s <= u * 1.03) by (apply Rmult_le_compat_l; lra). lra. }
    assert (r1 : Rabs r <= 1.04).
    { replace r with ((r - / s) + / s) by ring. apply Rle_trans with (1 := Rabs_triang _ _).
      rewrite (Rabs_pos_eq (/ s)) by lra. lra. }
    destruct (D e r eq_refl eq_refl) as (e' & r' & Re & Rr & Hv).
    destruct (reads_product _ _ _ _ Re Rr) as [Q3 Q2].
    assert (Q4 : Rabs (e * r - e / s) <= 1.02 * u * 1.04 ).
    { replace (e * r - e / s) with (e * (r - / s)) by (field; lra). rewrite Rabs_mult.
      replace (1.02 * u * 1.04) with (1.02 * (1.04 * u)) by ring.
      apply Rmult_le_compat; [apply Rabs_pos|apply Rabs_pos|lra|lra]. }
    assert (Q5 : Rabs (e * r) <= 1.02 * 1.04)
      by (rewrite Rabs_mult; apply Rmult_le_compat; try apply Rabs_pos; lra).
    assert (Q6 : Rabs (e * r) <= Rabs (e / s) + 1.07 * u).
    { replace (e * r) with ((e * r - e / s) + e / s) by ring.
      apply Rle_trans with (1 := Rabs_triang _ _). lra. }
    destruct (rounds_error _ _ Hv) as (p & -> & Hp); [lra|]. exists p. split; [reflexivity|].
    replace (p - e / s) with ((p - e' * r') + ((e' * r' - e * r) + (e * r - e / s))) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _).
    assert (T := Rabs_triang (e' * r' - e * r) (e * r - e / s)).
    assert (eta * (Rabs e + Rabs r) <= eta * 3) by (apply Rmult_le_compat_l; lra).
    assert (u * Rabs (e' * r') <= u * Rabs (e * r)) by (apply Rmult_le_compat_l; lra).
    assert (u * Rabs (e * r) <= u * 1.0609) by (apply Rmult_le_compat_l; lra). lra.
Qed.
