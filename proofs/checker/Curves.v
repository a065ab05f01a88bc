(** * The checker's slopes on a range, and its tanh

    - [silu_dev_ok], [sigmoid_dev_ok]: every slope on a range is within the number of Integers.v;
    - [sigmoid_values_ok], [silu_values_ok]: so is every value;
    - [tanh_part_ok]: tanh(r/4) is at most the number of Program.v.

    Rests on Points.v, Enclosure.v (what happens between the points k/64) and Interval (one
    exponential). Stands behind [silu_slopes], [sigmoid_slopes] and [tanh_upper] of enclosure.py. *)

From Coq Require Import Reals Lra Lia ZArith Bool.
From Interval Require Import Tactic.
From Lastbit Require Import Statement curves.Slopes curves.Enclosure curves.Softmax.
From Lastbit Require Import checker.Program checker.Numbers.
From Lastbit Require Export checker.Points.
Open Scope R_scope.

(** ** On a cell *)

Lemma Rmin_le a b c d x : a <= c -> b <= d -> Rmin c d <= x -> Rmin a b <= x.
Proof. unfold Rmin. repeat destruct Rle_dec; lra. Qed.
Lemma Rmax_le a b c d x : c <= a -> d <= b -> x <= Rmax c d -> x <= Rmax a b.
Proof. unfold Rmax. repeat destruct Rle_dec; lra. Qed.

Lemma hundredth a : (0 <= a)%Z -> IZR a / 100000 <= real (a * one / 100000 + 1).
Proof.
  intros Ha. assert (K := Z.mul_succ_div_gt (a * one) 100000 ltac:(lia)). apply IZR_lt in K.
  unfold Z.succ in K. rewrite !mult_IZR in K. rewrite one_is in K. unfold real.
  apply (Rmult_le_reg_r (2 ^ 100)); [lra|]. unfold Rdiv at 2. rewrite Rmult_assoc, Rinv_l by lra.
  lra.
Qed.

Lemma silu_slopes_ok low high t : point low <= t <= point high ->
  let (a, b) := silu_slopes low high in real a <= silu' t <= real b.
Proof.
  intros Ht. unfold silu_slopes. assert (G := silu_slope_range t).
  destruct (silu'_enclosed low high t Ht) as [E1 E2]. assert (V := hundredth 9984 ltac:(lia)).
  assert (W := hundredth 109984 ltac:(lia)). assert (X := silu_slope_at_ok low).
  assert (Y := silu_slope_at_ok high). destruct (tabulated low high); [|rewrite real_opp; lra].
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

Lemma quarter_is : real quarter = / 4.
Proof.
  unfold real. replace (IZR quarter) with (2 ^ 98); [lra|]. change quarter with (2 ^ 98)%Z.
  change (2 ^ 98)%Z with 316912650057057350374175801344%Z. lra.
Qed.
Lemma half_is : real half = / 2.
Proof.
  unfold real. replace (IZR half) with (2 ^ 99); [lra|].
  change half with 633825300114114700748351602688%Z. lra.
Qed.

Lemma sigmoid_slopes_ok low high t : point low <= t <= point high ->
  let (a, b) := sigmoid_slopes low high in real a <= sigmoid' t <= real b.
Proof.
  intros Ht. unfold sigmoid_slopes. assert (G := sigmoid_slope_range t).
  destruct (sigmoid'_enclosed low high t Ht) as [E1 E2]. assert (X := sigmoid_slope_at_ok low).
  assert (Y := sigmoid_slope_at_ok high).
  destruct (tabulated low high); [|rewrite real_0, quarter_is; lra].
  destruct (sigmoid_slope_at low) as [a b]. destruct (sigmoid_slope_at high) as [c d]. split.
  - rewrite real_min. now apply (Rmin_le _ _ (sigmoid' (point low)) (sigmoid' (point high))).
  - destruct ((low <=? 0)%Z && (0 <=? high)%Z)%bool eqn:B; [rewrite quarter_is; lra|].
    destruct E2 as [[B1 B2]|E2].
    + apply Z.leb_le in B1, B2. rewrite B1, B2 in B. discriminate.
    + rewrite real_max. now apply (Rmax_le _ _ (sigmoid' (point low)) (sigmoid' (point high))).
Qed.

Lemma cell_ok lo hi t : real lo <= t <= real hi ->
  point (cell_below lo) <= t <= point (cell_above hi).
Proof.
  intros [L H]. unfold cell_below, cell_above, point.
  generalize (shift_down lo 94 ltac:(lia)) (shift_up hi 94 ltac:(lia)).
  change (IZR (2 ^ 94)) with 19807040628566084398385987584. unfold real in *. intros. split; lra.
Qed.

Lemma reach_ok lo hi t : real lo <= t <= real hi -> Rabs t <= real (Z.max (Z.abs lo) (Z.abs hi)).
Proof.
  intros H. rewrite real_max, !real_abs. assert (L := Rmax_l (Rabs (real lo)) (Rabs (real hi))).
  assert (U := Rmax_r (Rabs (real lo)) (Rabs (real hi))). assert (A := Rle_abs (real hi)).
  assert (B := Rle_abs (- real lo)). rewrite Rabs_Ropp in B. apply Rabs_le. lra.
Qed.

Theorem silu_dev_ok m lo hi t : real lo <= t <= real hi ->
  Rabs (silu' t - real m) <= real (silu_dev m lo hi).
Proof.
  intros H. unfold silu_dev. assert (S := silu_slopes_ok _ _ t (cell_ok lo hi t H)).
  destruct silu_slopes as [a b]. assert (N := silu_slope_near t). assert (M := reach_ok lo hi t H).
  assert (C := ceil_div_unit (Z.max (Z.abs lo) (Z.abs hi)) 2 ltac:(lia)).
  set (near := ceil_div _ 2) in *. assert (K : Rabs (silu' t - / 2) <= real near) by lra.
  assert (K2 : - real near <= silu' t - / 2 <= real near)
    by (unfold Rabs in K; destruct Rcase_abs in K; lra).
  rewrite real_max, !real_minus, real_min, real_max, real_plus, real_minus, half_is.
  assert (U : silu' t <= Rmin (real b) (/ 2 + real near)) by (apply Rmin_glb; lra).
  assert (L : Rmax (real a) (/ 2 - real near) <= silu' t) by (apply Rmax_lub; lra).
  apply Rabs_le.
  generalize (Rmax_l (Rmin (real b) (/ 2 + real near) - real m)
    (real m - Rmax (real a) (/ 2 - real near)))
    (Rmax_r (Rmin (real b) (/ 2 + real near) - real m) (real m - Rmax (real a) (/ 2 - real near))).
    lra.
Qed.

Theorem sigmoid_dev_ok m lo hi t : real lo <= t <= real hi ->
  Rabs (sigmoid' t - real m) <= real (sigmoid_dev m lo hi).
Proof.
  intros H. unfold sigmoid_dev. assert (S := sigmoid_slopes_ok _ _ t (cell_ok lo hi t H)).
  destruct sigmoid_slopes as [a b]. assert (N := sigmoid_slope_range t).
  assert (M := reach_ok lo hi t H). set (reach := Z.max (Z.abs lo) (Z.abs hi)) in *.
  assert (C := ceil_div_unit (up (reach * reach)) 16 ltac:(lia)).
  assert (P := up_product reach reach). set (near := ceil_div _ 16) in *.
  assert (Q := square_le _ _ M). assert (K : t ^ 2 / 16 <= real near) by nra.
  rewrite real_max, !real_minus, real_min, real_max, real_minus, quarter_is.
  assert (U : sigmoid' t <= Rmin (real b) (/ 4)) by (apply Rmin_glb; lra).
  assert (L : Rmax (real a) (/ 4 - real near) <= sigmoid' t) by (apply Rmax_lub; lra).
  apply Rabs_le.
  generalize (Rmax_l (Rmin (real b) (/ 4) - real m) (real m - Rmax (real a) (/ 4 - real near)))
    (Rmax_r (Rmin (real b) (/ 4) - real m) (real m - Rmax (real a) (/ 4 - real near))). lra.
Qed.

(** ** Values on a range *)

Lemma sigmoid_values_ok lo hi t : real lo <= t <= real hi ->
  let (a, b) := sigmoid_values (cell_below lo) (cell_above hi) in real a <= sigmoid t <= real b.
Proof.
  intros H. assert (C := cell_ok lo hi t H). unfold sigmoid_values. revert C.
  generalize (cell_below lo) as low, (cell_above hi) as high. intros low high C.
  assert (S := sigmoid_01 t). destruct (tabulated low high); [|rewrite real_0, real_one; lra].
  assert (E := sigmoid_enclosed low high t C). assert (X := sigmoid_value_at_ok low).
  assert (Y := sigmoid_value_at_ok high). destruct (sigmoid_value_at low) as [a b].
  destruct (sigmoid_value_at high) as [c d]. cbn [fst snd]. lra.
Qed.

Lemma silu_values_ok lo hi t : real lo <= t <= real hi ->
  let (a, b) := silu_values (cell_below lo) (cell_above hi) hi in real a <= silu t <= real b.
Proof.
  intros H. assert (C := cell_ok lo hi t H). unfold silu_values. revert C.
  generalize (cell_below lo) as low, (cell_above hi) as high. intros low high C.
  assert (V := hundredth 27847 ltac:(lia)). destruct (silu_enclosed low high t C) as (E1 & E2 & E3).
  assert (L := silu_le t). destruct (tabulated low high).
  - assert (X := silu_value_at_ok low). assert (Y := silu_value_at_ok high).
    destruct (silu_value_at low) as [a b]. destruct (silu_value_at high) as [c d]. split.
    + destruct ((low <=? -81)%Z && (-82 <=? high)%Z)%bool eqn:B; [rewrite real_opp; lra|].
      destruct E3 as [[B1 B2]|E3].
      * apply Z.leb_le in B1, B2. rewrite B1, B2 in B. discriminate.
      * rewrite real_min. exact (Rmin_le _ _ _ _ _ (proj1 X) (proj1 Y) E3).
    + rewrite real_max. exact (Rmax_le _ _ _ _ _ (proj2 X) (proj2 Y) E1).
  - rewrite real_opp, real_max, real_0. split; [lra|]. apply Rle_trans with (1 := L).
    apply Rmax_lub; [apply Rle_trans with (real hi); [lra|apply Rmax_l]|apply Rmax_r].
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
