(** * The checker's slopes, and its tanh

    - [power_up], [power_down]: powers of an exponential by repeated squaring, rounded outward;
    - [silu_value_at_ok], [sigmoid_value_at_ok]: values at the points k/64;
    - [silu_dev_ok], [sigmoid_dev_ok]: every slope on a range is within the number of Program.v;
    - [tanh_part_ok]: tanh(r/4) is at most the number of Program.v.

    Rests on Enclosure.v (what happens between the points k/64) and Interval (two exponentials).
    Stands behind [tables], [silu_slopes], [sigmoid_slopes] and [tanh_upper] of enclosure.py: here
    the values at the points are computed and proved. *)

From Coq Require Import Reals Lra Lia ZArith Bool.
From Interval Require Import Tactic.
From Lastbit Require Import Statement curves.Slopes curves.Enclosure curves.Softmax.
From Lastbit Require Import checker.Program checker.Numbers.
Open Scope R_scope.

(** ** Powers *)

Lemma exp_twice b q : exp (b * IZR (Zpos (xO q))) = exp (b * IZR (Zpos q)) * exp (b * IZR (Zpos q)).
Proof. rewrite Pos2Z.inj_xO, mult_IZR, <- exp_plus. f_equal. ring. Qed.

Lemma exp_twice_1 b q : exp (b * IZR (Zpos (xI q))) = exp (b * IZR (Zpos q)) * exp (b * IZR (Zpos q)) * exp b.
Proof. rewrite Pos2Z.inj_xI, plus_IZR, mult_IZR, <- !exp_plus. f_equal. ring. Qed.

Lemma over_product s a b : 0 < s -> IZR (a * b) / s / s = IZR a / s * (IZR b / s).
Proof. intros H. rewrite mult_IZR. field. lra. Qed.

Lemma power_up s round f b p : 0 < s -> (forall a, IZR a / s <= IZR (round a)) -> exp b <= IZR f / s ->
  exp (b * IZR (Zpos p)) <= IZR (power round f p) / s.
Proof.
  intros Hs Hr Hf. assert (Rd : forall a x, x <= IZR a / s / s -> x <= IZR (round a) / s).
  { intros a x H. apply Rle_trans with (1 := H). apply Rmult_le_compat_r; [|apply Hr].
    apply Rlt_le, Rinv_0_lt_compat, Hs. }
  induction p as [q IH|q IH|]; cbn [power]; [| |now rewrite Rmult_1_r].
  - rewrite exp_twice_1. apply Rd. rewrite over_product by exact Hs.
    apply Rmult_le_compat; [apply Rmult_le_pos; apply Rlt_le, exp_pos|apply Rlt_le, exp_pos| |exact Hf].
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
Proof. unfold down64. generalize (shift_down a 64 ltac:(lia)). change (IZR (2 ^ 64)) with 18446744073709551616. lra. Qed.

Lemma up64_ok a : IZR a / 2 ^ 64 <= IZR (up64 a).
Proof. unfold up64. generalize (shift_up a 64 ltac:(lia)). change (IZR (2 ^ 64)) with 18446744073709551616. lra. Qed.

Lemma down64_pos a : 0 <= IZR a -> 0 <= IZR (down64 a).
Proof. intros H. apply IZR_le. apply le_IZR in H. unfold down64. now apply Z.shiftr_nonneg. Qed.

Lemma exp_64th : IZR exp_low / 2 ^ 64 <= exp (/ 64) <= IZR exp_high / 2 ^ 64.
Proof. unfold exp_low, exp_high. split; interval with (i_prec 120). Qed.

Lemma exp_at_ok k : (0 <= k)%Z -> let (l, h) := exp_at k in
  0 <= IZR l /\ IZR l / 2 ^ 64 <= exp (point k) <= IZR h / 2 ^ 64.
Proof.
  intros Hk. unfold exp_at. destruct k as [|p|p]; [|clear Hk|lia].
  - unfold point. replace (IZR 0 / 64) with 0 by lra. rewrite exp_0. unfold fine. lra.
  - assert (E : exp (point (Zpos p)) = exp (/ 64 * IZR (Zpos p))) by (f_equal; unfold point; lra). rewrite E.
    destruct (power_down (2 ^ 64) down64 exp_low (/ 64) p ltac:(lra) down64_ok down64_pos
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
  intros H. generalize (Z.mul_div_le a b H). intros K. apply IZR_le in K. rewrite mult_IZR in K. apply IZR_lt in H.
  apply (Rmult_le_reg_r (IZR b)); [exact H|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

Lemma fine_is : IZR fine = 2 ^ 64. Proof. unfold fine. lra. Qed.

Lemma sigmoid_at_ok k : (0 <= k)%Z -> let (l, h) := sigmoid_at k in
  0 <= IZR l /\ IZR l / 2 ^ 64 <= sigmoid (point k) <= IZR h / 2 ^ 64.
Proof.
  intros Hk. unfold sigmoid_at. generalize (exp_at_ok k Hk). destruct (exp_at k) as [l h]. intros (L0 & L & H).
  assert (P := exp_pos (point k)). assert (H0 : 0 <= IZR h) by lra.
  assert (Lz : (0 <= l)%Z) by now apply le_IZR. assert (Hz : (0 <= h)%Z) by now apply le_IZR.
  assert (Fz : (0 < fine)%Z) by reflexivity.
  assert (Q : forall x, 0 <= IZR x -> IZR (x * fine) / IZR (fine + x) / 2 ^ 64 = (IZR x / 2 ^ 64) / (1 + IZR x / 2 ^ 64)).
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
  { intros a Ha. generalize (sigmoid_at_ok a Ha). destruct (sigmoid_at a) as [l h]. intros (L0 & L & H).
    assert (S := sigmoid_01 (point a)). set (s := sigmoid (point a)) in *.
    assert (E : silu' (point a) = s * (64 + IZR a * (1 - s)) / 64) by (unfold silu'; fold s; unfold point; field).
    apply IZR_le in Ha. rewrite E. set (x := IZR l / 2 ^ 64) in *. set (y := IZR h / 2 ^ 64) in *.
    assert (X0 : 0 <= x) by (unfold x; lra). assert (Fa : 0 <= IZR a * (1 - s)) by (apply Rmult_le_pos; lra).
    assert (D1 : IZR a * (1 - y) <= IZR a * (1 - s)) by (apply Rmult_le_compat_l; lra).
    assert (D2 : IZR a * (1 - s) <= IZR a * (1 - x)) by (apply Rmult_le_compat_l; lra).
    split.
    - apply Rle_trans with (x * (64 + IZR a * (1 - y)) / 64).
      + generalize (shift_down (l * (64 * fine + a * (fine - h))) 34 ltac:(lia)).
        rewrite mult_IZR, plus_IZR, !mult_IZR, minus_IZR, fine_is. change (IZR (2 ^ 34)) with 17179869184.
        unfold real, x, y. intros K. nra.
      + assert (x * (64 + IZR a * (1 - y)) <= x * (64 + IZR a * (1 - s))) by (apply Rmult_le_compat_l; lra).
        assert (x * (64 + IZR a * (1 - s)) <= s * (64 + IZR a * (1 - s))) by (apply Rmult_le_compat_r; lra). lra.
    - apply Rle_trans with (y * (64 + IZR a * (1 - x)) / 64).
      + assert (s * (64 + IZR a * (1 - s)) <= y * (64 + IZR a * (1 - s))) by (apply Rmult_le_compat_r; lra).
        assert (y * (64 + IZR a * (1 - s)) <= y * (64 + IZR a * (1 - x))) by (apply Rmult_le_compat_l; lra). lra.
      + generalize (shift_up (h * (64 * fine + a * (fine - l))) 34 ltac:(lia)).
        rewrite mult_IZR, plus_IZR, !mult_IZR, minus_IZR, fine_is. change (IZR (2 ^ 34)) with 17179869184.
        unfold real, x, y. intros K. nra. }
  unfold silu_slope_at. specialize (G (Z.abs k) (Z.abs_nonneg k)). destruct (sigmoid_at (Z.abs k)) as [l h].
  destruct (Z.ltb_spec k 0) as [N|N].
  - replace (Z.abs k) with (- k)%Z in * by lia. rewrite point_opp, silu'_opp in G. rewrite !real_minus, real_one. lra.
  - now replace (Z.abs k) with k in * by lia.
Qed.

Lemma sigmoid'_opp z : sigmoid' (- z) = sigmoid' z.
Proof. unfold sigmoid'. rewrite sigmoid_opp. ring. Qed.

Lemma sigmoid_slope_at_ok k : let (l, h) := sigmoid_slope_at k in real l <= sigmoid' (point k) <= real h.
Proof.
  unfold sigmoid_slope_at. generalize (sigmoid_at_ok (Z.abs k) (Z.abs_nonneg k)).
  destruct (sigmoid_at (Z.abs k)) as [l h]. intros (L0 & L & H).
  assert (E : sigmoid' (point k) = sigmoid' (point (Z.abs k))).
  { destruct (Z.abs_spec k) as [[_ ->]|[_ ->]]; [reflexivity|]. now rewrite point_opp, sigmoid'_opp. }
  rewrite E. unfold sigmoid'. assert (S := sigmoid_01 (point (Z.abs k))). set (s := sigmoid (point (Z.abs k))) in *.
  set (x := IZR l / 2 ^ 64) in *. set (y := IZR h / 2 ^ 64) in *. assert (X0 : 0 <= x) by (unfold x; lra). split.
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

Lemma sigmoid_value_at_ok k : let (l, h) := sigmoid_value_at k in real l <= sigmoid (point k) <= real h.
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
  unfold silu_value_at. generalize (sigmoid_value_at_ok k). destruct (sigmoid_value_at k) as [l h]. intros [L H].
  assert (B : forall a b x, real a <= 64 * x <= real b -> real (Z.shiftr a 6) <= x <= real (- Z.shiftr (- b) 6)).
  { intros a b x. generalize (shift_down a 6 ltac:(lia)) (shift_up b 6 ltac:(lia)). change (IZR (2 ^ 6)) with 64.
    unfold real. lra. }
  assert (E : 64 * silu (point k) = IZR k * sigmoid (point k)) by (unfold silu, point; field).
  destruct (Z.ltb_spec k 0) as [N|N]; apply B; rewrite !real_scale, E.
  - apply IZR_lt in N. assert (IZR (- k) * sigmoid (point k) <= IZR (- k) * real h) by (apply Rmult_le_compat_l; [rewrite opp_IZR; lra|lra]).
    assert (IZR (- k) * real l <= IZR (- k) * sigmoid (point k)) by (apply Rmult_le_compat_l; [rewrite opp_IZR; lra|lra]).
    rewrite !opp_IZR in *. lra.
  - apply IZR_le in N. split; apply Rmult_le_compat_l; lra.
Qed.

Lemma grid_point_ok k : real (grid_point k) = point k.
Proof. unfold real, grid_point, point. rewrite shift_left by lia. change (IZR (2 ^ 94)) with 19807040628566084398385987584. lra. Qed.

(** ** On a cell *)

Lemma Rmin_le a b c d x : a <= c -> b <= d -> Rmin c d <= x -> Rmin a b <= x.
Proof. unfold Rmin. repeat destruct Rle_dec; lra. Qed.
Lemma Rmax_le a b c d x : c <= a -> d <= b -> x <= Rmax c d -> x <= Rmax a b.
Proof. unfold Rmax. repeat destruct Rle_dec; lra. Qed.

Lemma hundredth a : (0 <= a)%Z -> IZR a / 100000 <= real (a * one / 100000 + 1).
Proof.
  intros Ha. assert (K := Z.mul_succ_div_gt (a * one) 100000 ltac:(lia)). apply IZR_lt in K.
  unfold Z.succ in K. rewrite !mult_IZR in K. rewrite one_is in K. unfold real.
  apply (Rmult_le_reg_r (2 ^ 100)); [lra|]. unfold Rdiv at 2. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

Lemma silu_slopes_ok low high t : point low <= t <= point high ->
  let (a, b) := silu_slopes low high in real a <= silu' t <= real b.
Proof.
  intros Ht. unfold silu_slopes. assert (G := silu_slope_range t). destruct (silu'_enclosed low high t Ht) as [E1 E2].
  assert (V := hundredth 9984 ltac:(lia)). assert (W := hundredth 109984 ltac:(lia)).
  assert (X := silu_slope_at_ok low). assert (Y := silu_slope_at_ok high).
  destruct (tabulated low high); [|rewrite real_opp; lra].
  destruct (silu_slope_at low) as [a b]. destruct (silu_slope_at high) as [c d]. split.
  - destruct ((low <=? -153)%Z && (-154 <=? high)%Z)%bool eqn:B; [rewrite real_opp; lra|].
    destruct E1 as [[B1 B2]|E1].
    + apply Z.leb_le in B1, B2. rewrite B1, B2 in B. discriminate.
    + rewrite real_min. now apply (Rmin_le _ _ (silu' (point low)) (silu' (point high))).
  - destruct ((low <=? 154)%Z && (153 <=? high)%Z)%bool eqn:B; [lra|].
    destruct E2 as [[B1 B2]|E2].
    + apply Z.leb_le in B1, B2. rewrite B1, B2 in B. discriminate.
    + rewrite real_max. now apply (Rmax_le _ _ (silu' (point low)) (silu' (point high))).
Qed.

Lemma quarter_is : real quarter = / 4. Proof. unfold real. replace (IZR quarter) with (2 ^ 98); [lra|]. change quarter with (2 ^ 98)%Z. change (2 ^ 98)%Z with 316912650057057350374175801344%Z. lra. Qed.
Lemma half_is : real half = / 2. Proof. unfold real. replace (IZR half) with (2 ^ 99); [lra|]. change half with 633825300114114700748351602688%Z. lra. Qed.

Lemma sigmoid_slopes_ok low high t : point low <= t <= point high ->
  let (a, b) := sigmoid_slopes low high in real a <= sigmoid' t <= real b.
Proof.
  intros Ht. unfold sigmoid_slopes. assert (G := sigmoid_slope_range t). destruct (sigmoid'_enclosed low high t Ht) as [E1 E2].
  assert (X := sigmoid_slope_at_ok low). assert (Y := sigmoid_slope_at_ok high).
  destruct (tabulated low high); [|rewrite real_0, quarter_is; lra].
  destruct (sigmoid_slope_at low) as [a b]. destruct (sigmoid_slope_at high) as [c d]. split.
  - rewrite real_min. now apply (Rmin_le _ _ (sigmoid' (point low)) (sigmoid' (point high))).
  - destruct ((low <=? 0)%Z && (0 <=? high)%Z)%bool eqn:B; [rewrite quarter_is; lra|].
    destruct E2 as [[B1 B2]|E2].
    + apply Z.leb_le in B1, B2. rewrite B1, B2 in B. discriminate.
    + rewrite real_max. now apply (Rmax_le _ _ (sigmoid' (point low)) (sigmoid' (point high))).
Qed.

Lemma cell_ok lo hi t : real lo <= t <= real hi -> point (cell_below lo) <= t <= point (cell_above hi).
Proof.
  intros [L H]. unfold cell_below, cell_above, point.
  generalize (shift_down lo 94 ltac:(lia)) (shift_up hi 94 ltac:(lia)). change (IZR (2 ^ 94)) with 19807040628566084398385987584.
  unfold real in *. intros. split; lra.
Qed.

Lemma reach_ok lo hi t : real lo <= t <= real hi -> Rabs t <= real (Z.max (Z.abs lo) (Z.abs hi)).
Proof.
  intros H. rewrite real_max, !real_abs. assert (L := Rmax_l (Rabs (real lo)) (Rabs (real hi))).
  assert (U := Rmax_r (Rabs (real lo)) (Rabs (real hi))). assert (A := Rle_abs (real hi)).
  assert (B := Rle_abs (- real lo)). rewrite Rabs_Ropp in B. apply Rabs_le. lra.
Qed.

Theorem silu_dev_ok m lo hi t : real lo <= t <= real hi -> Rabs (silu' t - real m) <= real (silu_dev m lo hi).
Proof.
  intros H. unfold silu_dev. assert (S := silu_slopes_ok _ _ t (cell_ok lo hi t H)). destruct silu_slopes as [a b].
  assert (N := silu_slope_near t). assert (M := reach_ok lo hi t H).
  assert (C := ceil_div_unit (Z.max (Z.abs lo) (Z.abs hi)) 2 ltac:(lia)).
  set (near := ceil_div _ 2) in *. assert (K : Rabs (silu' t - / 2) <= real near) by lra.
  assert (K2 : - real near <= silu' t - / 2 <= real near) by (unfold Rabs in K; destruct Rcase_abs in K; lra).
  rewrite real_max, !real_minus, real_min, real_max, real_plus, real_minus, half_is.
  assert (U : silu' t <= Rmin (real b) (/ 2 + real near)) by (apply Rmin_glb; lra).
  assert (L : Rmax (real a) (/ 2 - real near) <= silu' t) by (apply Rmax_lub; lra).
  apply Rabs_le. generalize (Rmax_l (Rmin (real b) (/ 2 + real near) - real m) (real m - Rmax (real a) (/ 2 - real near)))
    (Rmax_r (Rmin (real b) (/ 2 + real near) - real m) (real m - Rmax (real a) (/ 2 - real near))). lra.
Qed.

Theorem sigmoid_dev_ok m lo hi t : real lo <= t <= real hi -> Rabs (sigmoid' t - real m) <= real (sigmoid_dev m lo hi).
Proof.
  intros H. unfold sigmoid_dev. assert (S := sigmoid_slopes_ok _ _ t (cell_ok lo hi t H)). destruct sigmoid_slopes as [a b].
  assert (N := sigmoid_slope_range t). assert (M := reach_ok lo hi t H). set (reach := Z.max (Z.abs lo) (Z.abs hi)) in *.
  assert (C := ceil_div_unit (up (reach * reach)) 16 ltac:(lia)). assert (P := up_product reach reach).
  set (near := ceil_div _ 16) in *. assert (Q := square_le _ _ M). assert (K : t ^ 2 / 16 <= real near) by nra.
  rewrite real_max, !real_minus, real_min, real_max, real_minus, quarter_is.
  assert (U : sigmoid' t <= Rmin (real b) (/ 4)) by (apply Rmin_glb; lra).
  assert (L : Rmax (real a) (/ 4 - real near) <= sigmoid' t) by (apply Rmax_lub; lra).
  apply Rabs_le. generalize (Rmax_l (Rmin (real b) (/ 4) - real m) (real m - Rmax (real a) (/ 4 - real near)))
    (Rmax_r (Rmin (real b) (/ 4) - real m) (real m - Rmax (real a) (/ 4 - real near))). lra.
Qed.

(** ** tanh *)

Lemma up_over a : IZR a / 2 ^ 100 <= IZR (up a).
Proof. generalize (up_real a). unfold real. lra. Qed.

Lemma step_ok : exp (/ 2 ^ 32) <= IZR exp_step / 2 ^ 100.
Proof. change exp_step with 1267650600523377306744775507968%Z. interval with (i_prec 160). Qed.

Theorem tanh_part_ok r : (0 <= r)%Z -> tanh (real r / 4) <= real (tanh_part r).
Proof.
  intros Hr. assert (R0 := real_pos r Hr). destruct (tanh_le (real r / 4) ltac:(lra)) as [T1 T2].
  unfold tanh_part. assert (C := ceil_div_real r 0x200000000000000000 ltac:(lia)).
  set (k := ceil_div r 0x200000000000000000) in *. destruct k as [|p|p].
  - assert (real r <= 0) by (unfold real; lra). rewrite real_0. lra.
  - destruct (Pos.leb p 0x2000000000); [|rewrite real_one; lra].
    assert (E : exp (2 * (real r / 4)) <= IZR (power up exp_step p) / 2 ^ 100).
    { apply Rle_trans with (exp (/ 2 ^ 32 * IZR (Zpos p))).
      - apply Rnot_lt_le. intros N. apply exp_lt_inv in N. unfold real in N. lra.
      - apply power_up; [lra|exact up_over|exact step_ok]. }
    set (e := power up exp_step p) in *. rewrite real_min, real_minus, real_one. apply Rmin_glb.
    + apply Rle_trans with (1 := T1). now apply (ceil_div_unit r 4).
    + rewrite tanh_is. set (x := exp (2 * (real r / 4))) in *. assert (P : 0 < x) by apply exp_pos.
      assert (Ep : 0 < IZR e) by lra. assert (Ez : (0 < e)%Z) by now apply lt_IZR.
      assert (F := div_floor (2 * one * one) (e + one) ltac:(unfold one; lia)).
      assert (D : real (2 * one * one / (e + one)) <= 2 / (IZR e / 2 ^ 100 + 1)).
      { unfold real. apply Rle_trans with (IZR (2 * one * one) / IZR (e + one) / 2 ^ 100); [lra|].
        rewrite !mult_IZR, plus_IZR, one_is. right. field. lra. }
      assert (2 / (IZR e / 2 ^ 100 + 1) <= 2 / (x + 1)).
      { apply Rmult_le_compat_l; [lra|]. apply Rinv_le_contravar; lra. }
      lra.
  - assert (real r <= 0) by (assert (IZR (Z.neg p) <= 0) by (apply IZR_le; lia); unfold real; lra).
    rewrite real_0. lra.
Qed.
