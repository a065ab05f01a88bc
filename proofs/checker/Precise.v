(** * exp and sigmoid of any number, to some 50 binary digits

    - [exp_between_ok]: for [z >= 0], exp z lies between the two numbers of [exp_between z];
    - [sigmoid_between_ok]: for all z, sigmoid z lies between those of [sigmoid_between z].

    [z] is taken apart as [k / 64 + r]: exp of [k / 64] as in Points.v, exp of [r] by its Taylor
    polynomial of degree 7. Rests on Interval (the polynomial) and Points.v. Stands behind nothing
    in Python: tests use it to tell whether a library's curve is as near as Statement.v says. *)

From Coq Require Import Reals Lra Lia ZArith List.
From Interval Require Import Tactic.
From Lastbit Require Import Statement curves.Slopes curves.Enclosure.
From Lastbit Require Import checker.Program checker.Numbers checker.Points.
Import ListNotations.

(** 1 + r (1 + r/2 (1 + r/3 ...)), rounded down at each step. *)
Fixpoint horner (r : Z) (l : list Z) : Z :=
  match l with [] => one | n :: l' => one + r * horner r l' / (n * one) end%Z.

Definition degrees : list Z := [1; 2; 3; 4; 5; 6; 7]%Z.
Definition slip : Z := 0x10000000000.                        (* 2^-60 *)

Definition exp_between (z : Z) : Z * Z :=                    (* z >= 0 *)
  let k := cell_below z in let h := horner (z - grid_point k) degrees in
  let (a, b) := exp_at k in
  (Z.shiftr (a * (h - slip)) 64, - Z.shiftr (- (b * (h + slip))) 64)%Z.

Definition sigmoid_between (z : Z) : Z * Z :=
  let (l, h) := exp_between (Z.abs z) in
  let low := (l * one / (one + l))%Z in let high := ceil_div (h * one) (one + h) in
  if (z <? 0)%Z then (one - high, one - low)%Z else (low, high).

Open Scope R_scope.

Fixpoint polynomial (x : R) (l : list Z) : R :=
  match l with [] => 1 | n :: l' => 1 + x * polynomial x l' / IZR n end.

Lemma taylor x : 0 <= x <= / 64 -> Rabs (exp x - polynomial x degrees) <= / 2 ^ 61.
Proof.
  intros H. unfold degrees. cbn [polynomial].
  interval with (i_bisect x, i_taylor x, i_degree 9, i_prec 90).
Qed.

Lemma div_between a b : (0 < b)%Z -> IZR a / IZR b - 1 <= IZR (a / b) <= IZR a / IZR b.
Proof.
  intros H. split; [|now apply div_floor]. assert (M := Z.mod_pos_bound a b H).
  assert (D := Z.div_mod a b ltac:(lia)). assert (E : (a <= b * (a / b) + b)%Z) by lia.
  apply IZR_le in E. rewrite plus_IZR, mult_IZR in E. apply IZR_lt in H.
  apply (Rmult_le_reg_r (IZR b)); [exact H|].
  replace ((IZR a / IZR b - 1) * IZR b) with (IZR a - IZR b) by (field; lra). lra.
Qed.

Lemma horner_ok r l : 0 <= real r <= / 64 -> Forall (fun n => (1 <= n)%Z) l ->
  polynomial (real r) l - 2 / 2 ^ 100 <= real (horner r l) <= polynomial (real r) l.
Proof.
  intros Hr. induction 1 as [|n l Hn _ IH]; cbn [horner polynomial]; [rewrite real_one; lra|].
  assert (N := Hn). apply IZR_le in N. set (h := horner r l) in *.
  set (p := polynomial (real r) l) in *.
  assert (D : real r * real h * / IZR n - / 2 ^ 100 <= real (r * h / (n * one)) <=
    real r * real h * / IZR n).
  { assert (D := div_between (r * h) (n * one) ltac:(unfold one; lia)).
    rewrite !mult_IZR, one_is in D.
    replace (real r * real h * / IZR n) with (IZR r * IZR h / (IZR n * 2 ^ 100) / 2 ^ 100)
      by (unfold real; field; lra).
    unfold real at 1 2. lra. }
  assert (I : 0 < / IZR n <= 1).
  { split; [apply Rinv_0_lt_compat; lra|]. rewrite <- Rinv_1. apply Rinv_le_contravar; lra. }
  rewrite real_plus, real_one. unfold Rdiv.
  assert (A : real r * real h * / IZR n <= real r * p * / IZR n).
  { apply Rmult_le_compat_r; [lra|]. apply Rmult_le_compat_l; lra. }
  assert (B : real r * p * / IZR n - real r * real h * / IZR n <= / 64 * (2 / 2 ^ 100)).
  { replace (real r * p * / IZR n - real r * real h * / IZR n)
      with (real r * (p - real h) * / IZR n) by ring.
    apply Rle_trans with (real r * (p - real h) * 1).
    - apply Rmult_le_compat_l; [apply Rmult_le_pos; lra|lra].
    - rewrite Rmult_1_r. apply Rmult_le_compat; lra. }
  lra.
Qed.

Lemma exp_between_ok z : (0 <= z)%Z -> let (l, h) := exp_between z in
  0 <= real l /\ real l <= exp (real z) <= real h.
Proof.
  intros Hz. unfold exp_between. set (k := cell_below z). set (r := (z - grid_point k)%Z).
  assert (K0 : (0 <= k)%Z) by now apply Z.shiftr_nonneg.
  assert (R : 0 <= real r <= / 64).
  { unfold r, k, cell_below, grid_point, real. rewrite Z.shiftr_div_pow2, Z.shiftl_mul_pow2 by lia.
    assert (M := Z.mod_pos_bound z (2 ^ 94) eq_refl). rewrite Z.mod_eq in M by easy.
    replace (z - z / 2 ^ 94 * 2 ^ 94)%Z with (z - 2 ^ 94 * (z / 2 ^ 94))%Z by ring.
    set (m := (z - 2 ^ 94 * (z / 2 ^ 94))%Z) in *. destruct M as [M1 M2]. apply IZR_le in M1.
    apply IZR_lt in M2. change (IZR (2 ^ 94)) with 19807040628566084398385987584 in M2. lra. }
  assert (H := horner_ok r degrees R ltac:(repeat constructor; lia)). assert (T := taylor _ R).
  set (h := horner r degrees) in *. generalize (exp_at_ok k K0). destruct (exp_at k) as [a b].
  intros (A0 & A & B). assert (E : exp (real z) = exp (point k) * exp (real r)).
  { rewrite <- exp_plus. f_equal. rewrite <- grid_point_ok. unfold r. rewrite real_minus. lra. }
  assert (S : real slip = / 2 ^ 60) by (unfold real, slip; lra).
  assert (P1 : 1 <= exp (real r)) by (generalize (exp_ineq1_le (real r)); lra).
  assert (L : 0 <= real (h - slip) <= exp (real r))
    by (rewrite real_minus, S; unfold Rabs in T; destruct Rcase_abs in T; lra).
  assert (U : exp (real r) <= real (h + slip))
    by (rewrite real_plus, S; unfold Rabs in T; destruct Rcase_abs in T; lra).
  assert (Pk := exp_pos (point k)).
  assert (D := shift_down (a * (h - slip)) 64 ltac:(lia)).
  assert (G := shift_up (b * (h + slip)) 64 ltac:(lia)). rewrite mult_IZR in D, G.
  change (IZR (2 ^ 64)) with 18446744073709551616 in *.
  assert (A1 : IZR a / 2 ^ 64 * real (h - slip) <= exp (point k) * exp (real r))
    by (apply Rmult_le_compat; lra).
  assert (B1 : exp (point k) * exp (real r) <= IZR b / 2 ^ 64 * real (h + slip))
    by (apply Rmult_le_compat; lra).
  rewrite E. split; [|split].
  - apply real_pos, Z.shiftr_nonneg. apply Z.mul_nonneg_nonneg; [now apply le_IZR|].
    apply le_IZR. unfold real in L. lra.
  - apply Rle_trans with (2 := A1). unfold real in *. lra.
  - apply Rle_trans with (1 := B1). unfold real in *. lra.
Qed.

Lemma sigmoid_between_ok z : let (l, h) := sigmoid_between z in
  real l <= sigmoid (real z) <= real h.
Proof.
  assert (G : forall a, (0 <= a)%Z -> let (l, h) := exp_between a in
    real (l * one / (one + l)) <= sigmoid (real a) <= real (ceil_div (h * one) (one + h))).
  { intros a Ha. generalize (exp_between_ok a Ha). destruct (exp_between a) as [l h].
    intros (L0 & L & H). assert (P := exp_pos (real a)). rewrite sigmoid_exp.
    assert (Lz : (0 <= l)%Z) by (apply real_le_inv; now rewrite real_0).
    assert (Hz : (0 <= h)%Z) by (apply real_le_inv; rewrite real_0; lra).
    assert (Q : forall x, 0 <= real x -> IZR (x * one) / IZR (one + x) / 2 ^ 100 =
      real x / (1 + real x)).
    { intros x Hx. rewrite mult_IZR, plus_IZR, one_is. unfold real in *. field. lra. }
    split.
    - apply Rle_trans with (IZR (l * one) / IZR (one + l) / 2 ^ 100).
      + apply Rmult_le_compat_r; [lra|]. apply div_floor. unfold one. lia.
      + rewrite Q by exact L0. apply ratio. lra.
    - apply Rle_trans with (IZR (h * one) / IZR (one + h) / 2 ^ 100).
      + rewrite Q by lra. apply ratio. lra.
      + apply Rmult_le_compat_r; [lra|]. apply ceil_div_real. unfold one. lia. }
  unfold sigmoid_between. specialize (G (Z.abs z) (Z.abs_nonneg z)).
  destruct (exp_between (Z.abs z)) as [l h]. destruct (Z.ltb_spec z 0) as [N|N].
  - replace (Z.abs z) with (- z)%Z in * by lia. rewrite real_opp, sigmoid_opp in G.
    rewrite !real_minus, real_one. lra.
  - now replace (Z.abs z) with z in * by lia.
Qed.
