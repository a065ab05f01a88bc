(** * The checker's curves at the points k/64

    - [power_up], [power_down]: powers of an exponential by repeated squaring, rounded outward;
    - [silu_slope_at_ok], [sigmoid_slope_at_ok], [silu_value_at_ok], [sigmoid_value_at_ok]: slopes
      and values lie between the two numbers that Integers.v computes.

    Rests on Interval (one exponential) and Numbers.v. Stands behind [tables] of enclosure.py: here
    the numbers in the table are computed and proved. *)

From Coq Require Import Reals Lra Lia ZArith Bool.
From Interval Require Import Tactic.
From Lastbit Require Import Statement curves.Slopes curves.Enclosure.
From Lastbit Require Import checker.Program checker.Numbers.
Open Scope R_scope.

(** ** Powers *)

Lemma exp_twice b q : exp (b * IZR (Zpos (xO q))) = exp (b * IZR (Zpos q)) * exp (b * IZR (Zpos q)).
Proof. rewrite Pos2Z.inj_xO, mult_IZR, <- exp_plus. f_equal. ring. Qed.

Lemma exp_twice_1 b q : exp (b * IZR (Zpos (xI q))) =
  exp (b * IZR (Zpos q)) * exp (b * IZR (Zpos q)) * exp b.
Proof. rewrite Pos2Z.inj_xI, plus_IZR, mult_IZR, <- !exp_plus. f_equal. ring. Qed.

Lemma over_product s a b : 0 < s -> IZR (a * b) / s / s = IZR a / s * (IZR b / s).
Proof. intros H. rewrite mult_IZR. field. lra. Qed.

Lemma power_up s round f b p : 0 < s -> (forall a, IZR a / s <= IZR (round a)) ->
  exp b <= IZR f / s ->
  exp (b * IZR (Zpos p)) <= IZR (power round f p) / s.
Proof.
  intros Hs Hr Hf. assert (Rd : forall a x, x <= IZR a / s / s -> x <= IZR (round a) / s).
  { intros a x H. apply Rle_trans with (1 := H). apply Rmult_le_compat_r; [|apply Hr].
    apply Rlt_le, Rinv_0_lt_compat, Hs. }
  induction p as [q IH|q IH|]; cbn [power]; [| |now rewrite Rmult_1_r].
  - rewrite exp_twice_1. apply Rd. rewrite over_product by exact Hs.
    apply Rmult_le_compat;
      [apply Rmult_le_pos; apply Rlt_le, exp_pos|apply Rlt_le, exp_pos| |exact Hf].
    apply Rd. rewrite over_product by exact Hs.
    apply Rmult_le_compat; try exact IH; apply Rlt_le, exp_pos.
  - rewrite exp_twice. apply Rd. rewrite over_product by exact Hs.
    apply Rmult_le_compat; try exact IH; apply Rlt_le, exp_pos.
Qed.

Lemma power_down s round f b p : 0 < s -> (forall a, IZR (round a) <= IZR a / s) ->
  (forall a, 0 <= IZR a -> 0 <= IZR (round a)) -> 0 <= IZR f -> IZR f / s <= exp b ->
  0 <= IZR (power round f p) /\ IZR (power round f p) / s <= exp (b * IZR (Zpos p)).
Proof.
  intros Hs Hr H0 Hf Hb. assert (Si : 0 <= / s) by (apply Rlt_le, Rinv_0_lt_compat, Hs).
  assert (Rd : forall a x, IZR a / s / s <= x -> IZR (round a) / s <= x).
  { intros a x H. apply Rle_trans with (2 := H). apply Rmult_le_compat_r; [exact Si|apply Hr]. }
  assert (Dv : forall a, 0 <= IZR a -> 0 <= IZR a / s) by (intros; apply Rmult_le_pos; assumption).
  assert (Sq : forall a b, 0 <= IZR a -> 0 <= IZR b -> 0 <= IZR (round (a * b)%Z)).
  { intros. apply H0. rewrite mult_IZR. now apply Rmult_le_pos. }
  induction p as [q [I0 IH]|q [I0 IH]|]; cbn [power]; [| |now rewrite Rmult_1_r].
  - split; [now repeat apply Sq|]. rewrite exp_twice_1. apply Rd. rewrite over_product by exact Hs.
    apply Rmult_le_compat; [apply Dv; now apply Sq|now apply Dv| |exact Hb].
    apply Rd. rewrite over_product by exact Hs. apply Rmult_le_compat; try exact IH; now apply Dv.
  - split; [now apply Sq|]. rewrite exp_twice. apply Rd. rewrite over_product by exact Hs.
    apply Rmult_le_compat; try exact IH; now apply Dv.
Qed.

Lemma down64_ok a : IZR (down64 a) <= IZR a / 2 ^ 64.
Proof.
  unfold down64. generalize (shift_down a 64 ltac:(lia)).
  change (IZR (2 ^ 64)) with 18446744073709551616. lra.
Qed.

Lemma up64_ok a : IZR a / 2 ^ 64 <= IZR (up64 a).
Proof.
  unfold up64. generalize (shift_up a 64 ltac:(lia)).
  change (IZR (2 ^ 64)) with 18446744073709551616. lra.
Qed.

Lemma down64_pos a : 0 <= IZR a -> 0 <= IZR (down64 a).
Proof. intros H. apply IZR_le. apply le_IZR in H. unfold down64. now apply Z.shiftr_nonneg. Qed.

Lemma exp_64th : IZR exp_low / 2 ^ 64 <= exp (/ 64) <= IZR exp_high / 2 ^ 64.
Proof. unfold exp_low, exp_high. split; interval with (i_prec 120). Qed.

Lemma exp_at_ok k : (0 <= k)%Z -> let (l, h) := exp_at k in
  0 <= IZR l /\ IZR l / 2 ^ 64 <= exp (point k) <= IZR h / 2 ^ 64.
Proof.
  intros Hk. unfold exp_at. destruct k as [|p|p]; [|clear Hk|lia].
  - unfold point. replace (IZR 0 / 64) with 0 by lra. rewrite exp_0. unfold fine. lra.
  - assert (E : exp (point (Zpos p)) = exp (/ 64 * IZR (Zpos p))) by (f_equal; unfold point; lra).
    rewrite E. destruct (power_down (2 ^ 64) down64 exp_low (/ 64) p ltac:(lra) down64_ok down64_pos
      ltac:(unfold exp_low; lra) (proj1 exp_64th)) as [A B].
    assert (C := power_up (2 ^ 64) up64 exp_high (/ 64) p ltac:(lra) up64_ok (proj2 exp_64th)).
    now repeat split.
Qed.

(** ** At the points *)

Lemma ratio x y : 0 <= x <= y -> x / (1 + x) <= y / (1 + y).
Proof.
  intros [Hx Hy]. replace (x / (1 + x)) with (1 - / (1 + x)) by (field; lra).
  replace (y / (1 + y)) with (1 - / (1 + y)) by (field; lra).
  assert (/ (1 + y) <= / (1 + x)) by (apply Rinv_le_contravar; lra). lra.
Qed.

Lemma sigmoid_exp z : sigmoid z = exp z / (1 + exp z).
Proof. unfold sigmoid. rewrite exp_Ropp. generalize (exp_pos z). intros. field. lra. Qed.

Lemma div_floor a b : (0 < b)%Z -> IZR (a / b) <= IZR a / IZR b.
Proof.
  intros H. generalize (Z.mul_div_le a b H). intros K. apply IZR_le in K. rewrite mult_IZR in K.
  apply IZR_lt in H. apply (Rmult_le_reg_r (IZR b)); [exact H|]. unfold Rdiv.
  rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

Lemma fine_is : IZR fine = 2 ^ 64. Proof. unfold fine. lra. Qed.

Lemma sigmoid_at_ok k : (0 <= k)%Z -> let (l, h) := sigmoid_at k in
  0 <= IZR l /\ IZR l / 2 ^ 64 <= sigmoid (point k) <= IZR h / 2 ^ 64.
Proof.
  intros Hk. unfold sigmoid_at. generalize (exp_at_ok k Hk). destruct (exp_at k) as [l h].
  intros (L0 & L & H). assert (P := exp_pos (point k)). assert (H0 : 0 <= IZR h) by lra.
  assert (Lz : (0 <= l)%Z) by now apply le_IZR. assert (Hz : (0 <= h)%Z) by now apply le_IZR.
  assert (Fz : (0 < fine)%Z) by reflexivity.
  assert (Q : forall x, 0 <= IZR x -> IZR (x * fine) / IZR (fine + x) / 2 ^ 64 =
    (IZR x / 2 ^ 64) / (1 + IZR x / 2 ^ 64)).
  { intros x Hx. rewrite mult_IZR, plus_IZR, fine_is. field. lra. }
  rewrite sigmoid_exp. split; [|split].
  - apply IZR_le. apply Z.div_pos; lia.
  - apply Rle_trans with (IZR (l * fine) / IZR (fine + l) / 2 ^ 64).
    + apply Rmult_le_compat_r; [lra|]. apply div_floor. lia.
    + rewrite Q by exact L0. apply ratio. split; lra.
  - apply Rle_trans with (IZR (h * fine) / IZR (fine + h) / 2 ^ 64).
    + rewrite Q by exact H0. apply ratio. lra.
    + apply Rmult_le_compat_r; [lra|]. apply ceil_div_real. lia.
Qed.

Lemma silu_slope_at_ok k : let (l, h) := silu_slope_at k in real l <= silu' (point k) <= real h.
Proof.
  assert (G : forall a, (0 <= a)%Z -> let (l, h) := sigmoid_at a in
    real (Z.shiftr (l * (64 * fine + a * (fine - h))) 34) <= silu' (point a) <=
    real (- Z.shiftr (- (h * (64 * fine + a * (fine - l)))) 34)).
  { intros a Ha. generalize (sigmoid_at_ok a Ha). destruct (sigmoid_at a) as [l h].
    intros (L0 & L & H). assert (S := sigmoid_01 (point a)). set (s := sigmoid (point a)) in *.
    assert (E : silu' (point a) = s * (64 + IZR a * (1 - s)) / 64)
      by (unfold silu'; fold s; unfold point; field).
    apply IZR_le in Ha. rewrite E. set (x := IZR l / 2 ^ 64) in *. set (y := IZR h / 2 ^ 64) in *.
    assert (X0 : 0 <= x) by (unfold x; lra).
    assert (Fa : 0 <= IZR a * (1 - s)) by (apply Rmult_le_pos; lra).
    assert (D1 : IZR a * (1 - y) <= IZR a * (1 - s)) by (apply Rmult_le_compat_l; lra).
    assert (D2 : IZR a * (1 - s) <= IZR a * (1 - x)) by (apply Rmult_le_compat_l; lra).
    split.
    - apply Rle_trans with (x * (64 + IZR a * (1 - y)) / 64).
      + generalize (shift_down (l * (64 * fine + a * (fine - h))) 34 ltac:(lia)).
        rewrite mult_IZR, plus_IZR, !mult_IZR, minus_IZR, fine_is.
        change (IZR (2 ^ 34)) with 17179869184. unfold real, x, y. intros K. nra.
      + assert (x * (64 + IZR a * (1 - y)) <= x * (64 + IZR a * (1 - s)))
          by (apply Rmult_le_compat_l; lra).
        assert (x * (64 + IZR a * (1 - s)) <= s * (64 + IZR a * (1 - s)))
          by (apply Rmult_le_compat_r; lra). lra.
    - apply Rle_trans with (y * (64 + IZR a * (1 - x)) / 64).
      + assert (s * (64 + IZR a * (1 - s)) <= y * (64 + IZR a * (1 - s)))
          by (apply Rmult_le_compat_r; lra).
        assert (y * (64 + IZR a * (1 - s)) <= y * (64 + IZR a * (1 - x)))
          by (apply Rmult_le_compat_l; lra). lra.
      + generalize (shift_up (h * (64 * fine + a * (fine - l))) 34 ltac:(lia)).
        rewrite mult_IZR, plus_IZR, !mult_IZR, minus_IZR, fine_is.
        change (IZR (2 ^ 34)) with 17179869184. unfold real, x, y. intros K. nra. }
  unfold silu_slope_at. specialize (G (Z.abs k) (Z.abs_nonneg k)).
  destruct (sigmoid_at (Z.abs k)) as [l h]. destruct (Z.ltb_spec k 0) as [N|N].
  - replace (Z.abs k) with (- k)%Z in * by lia. rewrite point_opp, silu'_opp in G.
    rewrite !real_minus, real_one. lra.
  - now replace (Z.abs k) with k in * by lia.
Qed.

Lemma sigmoid'_opp z : sigmoid' (- z) = sigmoid' z.
Proof. unfold sigmoid'. rewrite sigmoid_opp. ring. Qed.

Lemma sigmoid_slope_at_ok k : let (l, h) := sigmoid_slope_at k in
  real l <= sigmoid' (point k) <= real h.
Proof.
  unfold sigmoid_slope_at. generalize (sigmoid_at_ok (Z.abs k) (Z.abs_nonneg k)).
  destruct (sigmoid_at (Z.abs k)) as [l h]. intros (L0 & L & H).
  assert (E : sigmoid' (point k) = sigmoid' (point (Z.abs k))).
  { destruct (Z.abs_spec k) as [[_ ->]|[_ ->]]; [reflexivity|]. now rewrite point_opp, sigmoid'_opp.
    }
  rewrite E. unfold sigmoid'. assert (S := sigmoid_01 (point (Z.abs k))).
  set (s := sigmoid (point (Z.abs k))) in *. set (x := IZR l / 2 ^ 64) in *.
  set (y := IZR h / 2 ^ 64) in *. assert (X0 : 0 <= x) by (unfold x; lra). split.
  - apply Rle_trans with (x * (1 - y)).
    + generalize (shift_down (l * (fine - h)) 28 ltac:(lia)). rewrite mult_IZR, minus_IZR, fine_is.
      change (IZR (2 ^ 28)) with 268435456. unfold real, x, y. intros K. nra.
    + assert (x * (1 - y) <= x * (1 - s)) by (apply Rmult_le_compat_l; lra).
      assert (x * (1 - s) <= s * (1 - s)) by (apply Rmult_le_compat_r; lra). lra.
  - apply Rle_trans with (y * (1 - x)).
    + assert (s * (1 - s) <= y * (1 - s)) by (apply Rmult_le_compat_r; lra).
      assert (y * (1 - s) <= y * (1 - x)) by (apply Rmult_le_compat_l; lra). lra.
    + generalize (shift_up (h * (fine - l)) 28 ltac:(lia)). rewrite mult_IZR, minus_IZR, fine_is.
      change (IZR (2 ^ 28)) with 268435456. unfold real, x, y. intros K. nra.
Qed.

Lemma shift_left a n : (0 <= n)%Z -> IZR (Z.shiftl a n) = IZR a * IZR (2 ^ n).
Proof. intros H. rewrite Z.shiftl_mul_pow2 by exact H. apply mult_IZR. Qed.

Lemma sigmoid_value_at_ok k : let (l, h) := sigmoid_value_at k in
  real l <= sigmoid (point k) <= real h.
Proof.
  unfold sigmoid_value_at. generalize (sigmoid_at_ok (Z.abs k) (Z.abs_nonneg k)).
  destruct (sigmoid_at (Z.abs k)) as [l h]. intros (_ & L & H).
  assert (E : forall a, real (Z.shiftl a 36) = IZR a / 2 ^ 64).
  { intros a. unfold real. rewrite shift_left by lia. change (IZR (2 ^ 36)) with 68719476736. lra. }
  destruct (Z.ltb_spec k 0) as [N|N].
  - replace (Z.abs k) with (- k)%Z in * by lia. rewrite point_opp, sigmoid_opp in L, H.
    rewrite !real_minus, real_one, !E. lra.
  - replace (Z.abs k) with k in * by lia. rewrite !E. lra.
Qed.

Lemma silu_value_at_ok k : let (l, h) := silu_value_at k in real l <= silu (point k) <= real h.
Proof.
  unfold silu_value_at. generalize (sigmoid_value_at_ok k). destruct (sigmoid_value_at k) as [l h].
  intros [L H].
  assert (B : forall a b x, real a <= 64 * x <= real b ->
    real (Z.shiftr a 6) <= x <= real (- Z.shiftr (- b) 6)).
  { intros a b x. generalize (shift_down a 6 ltac:(lia)) (shift_up b 6 ltac:(lia)).
    change (IZR (2 ^ 6)) with 64. unfold real. lra. }
  assert (E : 64 * silu (point k) = IZR k * sigmoid (point k)) by (unfold silu, point; field).
  destruct (Z.ltb_spec k 0) as [N|N]; apply B; rewrite !real_scale, E.
  - apply IZR_lt in N.
    assert (IZR (- k) * sigmoid (point k) <= IZR (- k) * real h)
      by (apply Rmult_le_compat_l; [rewrite opp_IZR; lra|lra]).
    assert (IZR (- k) * real l <= IZR (- k) * sigmoid (point k))
      by (apply Rmult_le_compat_l; [rewrite opp_IZR; lra|lra]).
    rewrite !opp_IZR in *. lra.
  - apply IZR_le in N. split; apply Rmult_le_compat_l; lra.
Qed.

Lemma grid_point_ok k : real (grid_point k) = point k.
Proof.
  unfold real, grid_point, point. rewrite shift_left by lia.
  change (IZR (2 ^ 94)) with 19807040628566084398385987584. lra.
Qed.
