(** * One operation that Statement.v admits

    - [rounded], [product], [quotient], [quotient_by]: whether a result is what one operation may
      return; [rounded_ok], [product_ok], [quotient_ok], [quotient_by_ok]: then it does.

    Numbers are integers over 2^100 as everywhere in the checker, and every rounding has to be
    within [u |t|] (no underflow). Rests on SumRoundings.v. *)

From Flocq.Core Require Import Raux Zaux.
From Coq Require Import Reals Lra Lia ZArith List Bool Permutation.
From Lastbit Require Import Statement binary32.Terms checker.Program
  checker.Numbers checker.Annotation checker.SumRoundings.
Notation real := Numbers.real.
Import ListNotations.
Open Scope Z_scope.

(** [v] is [t] (over 2^200), rounded; or [t] itself, if [w] is a power of two. *)
Definition rounded (t v : Z) : bool := Z.abs (v * one - t) * 0x1000000 <=? Z.abs t.
Definition product (w x v : Z) : bool :=
  rounded (w * x) v && (negb (power_of_2 w) || (v * one =? w * x)).

(** [v] is [a / c], rounded. *)
Definition quotient (a b v : Z) : bool := Z.abs (v * b - a * one) * 0x1000000 <=? Z.abs (a * one).
Definition quotient_by (c a v : Z) : bool :=
  quotient a c v && (negb (power_of_2 c) || (v * c =? a * one)).

Open Scope R_scope.

Lemma rounded_ok t v : rounded t v = true -> Rabs (real v - real2 t) <= u * Rabs (real2 t).
Proof.
  unfold rounded. rewrite Z.leb_le. intros H. apply IZR_le in H.
  rewrite mult_IZR, !abs_IZR, minus_IZR, mult_IZR, one_is in H. rewrite u_is.
  assert (E : real v - real2 t = (IZR v * 2 ^ 100 - IZR t) * (/ 2 ^ 100 * / 2 ^ 100))
    by (unfold real, real2; field).
  rewrite E. unfold real2, Rdiv. rewrite !Rabs_mult, !(Rabs_pos_eq (/ 2 ^ 100)) by lra. lra.
Qed.

Lemma rounds_ok t v : Rabs (real v - t) <= u * Rabs t -> rounds t (Finite (real v)).
Proof. intros H _. exists (real v). split; [reflexivity|now left]. Qed.

Lemma product_real w x : real w * real x = real2 (w * x).
Proof. unfold real, real2. rewrite mult_IZR. lra. Qed.

Lemma sum_real2 a b : real a + real b = real2 ((a + b) * one).
Proof. now rewrite Z.mul_comm, real2_one, real_plus. Qed.

Lemma difference_real2 a b : real a - real b = real2 ((a - b) * one).
Proof. now rewrite Z.mul_comm, real2_one, real_minus. Qed.

Lemma real_zero z : real z = 0 -> z = 0%Z.
Proof. unfold real. intros H. apply eq_IZR. lra. Qed.

Lemma one_bit_pow n p : Z.pow 2 (Z.of_nat n) = Zpos p -> one_bit p = true.
Proof.
  revert p. induction n as [|n IH]; intros p H; [injection H as <-; reflexivity|].
  rewrite Nat2Z.inj_succ, Z.pow_succ_r in H by lia.
  destruct (Z.pow 2 (Z.of_nat n)) as [|m|m]; [discriminate| |discriminate]. injection H as <-.
  exact (IH m eq_refl).
Qed.

(** No weight is a power of two without [power_of_2] saying so. *)
Lemma power_known w : w <> 0%Z -> power_of_two (real w) -> power_of_2 w = true.
Proof.
  intros N [k Hk]. rewrite <- real_abs in Hk. unfold real in Hk.
  assert (P : (1 <= Z.abs w)%Z) by lia. apply IZR_le in P. simpl in P.
  assert (E : IZR (Z.abs w) = bpow radix2 (k + 100)).
  { rewrite bpow_plus, (bpow_powerRZ radix2 k). change (IZR radix2) with 2. rewrite <- Hk.
    assert (B : bpow radix2 100 = 2 ^ 100) by (simpl; lra). rewrite B. field. }
  assert (G : (0 <= k + 100)%Z).
  { destruct (Z.le_gt_cases 0 (k + 100)) as [G|G]; [exact G|].
    assert (bpow radix2 (k + 100) < bpow radix2 0) by now apply bpow_lt.
    change (bpow radix2 0) with 1 in *. lra. }
  rewrite <- IZR_Zpower in E by exact G. apply eq_IZR in E.
  change (Zpower radix2 (k + 100)) with (2 ^ (k + 100))%Z in E. rewrite <- (Z2Nat.id _ G) in E.
  destruct w as [|p|p]; [lia| |]; symmetry in E; exact (one_bit_pow _ p E).
Qed.

Lemma product_ok w x v : product w x v = true ->
  multiplies (Finite (real w)) (Finite (real x)) (Finite (real v)).
Proof.
  unfold product. rewrite andb_true_iff. intros [H1 H2] p q [= <-] [= <-].
  exists (real w), (real x).
  split; [apply reads_refl|]. split; [apply reads_refl|]. apply rounded_ok in H1.
  rewrite <- product_real in H1.
  split; [now apply rounds_ok|]. intros P. assert (N : w <> 0%Z).
  { intros ->. rewrite real_0 in P. destruct P as [k Hk]. rewrite Rabs_R0 in Hk. generalize
      (powerRZ_lt 2 k ltac:(lra)). lra. }
  rewrite (power_known w N P) in H2. apply Z.eqb_eq in H2.
  rewrite product_real, <- H2, Z.mul_comm, real2_one. apply shifts_exact.
Qed.

Lemma quotient_error a b v : b <> 0%Z -> quotient a b v = true ->
  Rabs (real v - real a / real b) <= u * Rabs (real a / real b).
Proof.
  unfold quotient. rewrite Z.leb_le. intros Nz H.
  assert (Nb : real b <> 0) by (intros E; now apply real_zero in E).
  apply IZR_le in H. rewrite mult_IZR, !abs_IZR, minus_IZR, !mult_IZR, one_is, Rabs_mult,
    (Rabs_pos_eq (2 ^ 100)) in H by lra.
  assert (E : Rabs (IZR v * IZR b - IZR a * 2 ^ 100) =
    2 ^ 100 * 2 ^ 100 * (Rabs (real v - real a / real b) * Rabs (real b))).
  { rewrite <- Rabs_mult. replace ((real v - real a / real b) * real b)
      with (real v * real b - real a) by (field; exact Nb).
    rewrite <- (Rabs_pos_eq (2 ^ 100 * 2 ^ 100)) at 1 by lra. rewrite <- Rabs_mult. f_equal.
    unfold real. field. }
  rewrite E in H. assert (Ea : Rabs (IZR a) = 2 ^ 100 * Rabs (real a)).
  { rewrite <- (Rabs_pos_eq (2 ^ 100)) at 1 by lra. rewrite <- Rabs_mult. f_equal. unfold real.
      field. }
  rewrite Ea in H. rewrite u_is. unfold Rdiv at 2. rewrite Rabs_mult, Rabs_inv.
  assert (P : 0 < Rabs (real b)) by now apply Rabs_pos_lt.
  apply (Rmult_le_reg_r (Rabs (real b))); [exact P|].
  replace (/ 16777216 * (Rabs (real a) * / Rabs (real b)) * Rabs (real b))
    with (/ 16777216 * Rabs (real a)) by (field; lra). lra.
Qed.

Lemma normal_nonzero b : eta < Rabs (real b) -> b <> 0%Z.
Proof. intros H ->. rewrite real_0, Rabs_R0 in H. generalize eta_pos. lra. Qed.

Lemma quotient_by_ok c a v : quotient_by c a v = true ->
  divides_by (Finite (real c)) (Finite (real a)) (Finite (real v)).
Proof.
  unfold quotient_by. rewrite andb_true_iff. intros [H1 H2] p q [= <-] [= <-] Hc.
  assert (N := normal_nonzero c Hc).
  exists (real a). split; [apply reads_refl|]. split; [now apply rounds_ok, quotient_error|].
  intros P.
  rewrite (power_known c N P) in H2. apply Z.eqb_eq, (f_equal IZR) in H2.
  rewrite !mult_IZR, one_is in H2.
  assert (Nr : real c <> 0) by (intros E; now apply real_zero in E).
  replace (real a / real c) with (real v); [apply shifts_exact|].
  apply (Rmult_eq_reg_r (real c)); [|exact Nr].
  replace (real a / real c * real c) with (real a) by (field; exact Nr). unfold real. lra.
Qed.
