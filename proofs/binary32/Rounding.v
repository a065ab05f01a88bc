(** * IEEE 754 binary32 does what Statement.v says of an operation

    - [nearest_rounds]: round to nearest, any ties, in binary32 or any format with more digits and
      exponents, is an instance of [rounds];
    - [converted_rounds]: so is an operation in a format of 50 digits or more (binary64, say) whose
      result is then converted to binary32: both roundings together stay within one;
    - [flushed_rounds]: so it is if results below 2^-126 are replaced by 0;
    - [plus_computes], [mult_computes], [fma_computes], [quotient_computes]: the operations of
      Flocq's binary32 (IEEE 754, with infinities and NaN), to nearest-even and nearest-away;
    - [nearest_scales], [mult_multiplies]: a product with a power of two is exact, but for underflow;
    - [zero_added]: adding an exact 0 does not round.

    Rests on Flocq. Stands behind the assumption [any-order-binary32]: these are runtimes that meet
    it. Reading a subnormal operand as 0 is [reads]; nothing has to be shown for it. *)

From Coq Require Import Reals Lra Lia ZArith.
From Flocq Require Import Core Relative IEEE754.Binary IEEE754.Bits.
From Flocq Require IEEE754.BinarySingleNaN.
Notation round_mode := BinarySingleNaN.round_mode.
Import BinarySingleNaN(mode(..)).
From Lastbit Require Import Statement binary32.Terms binary32.Sums.
Open Scope R_scope.

Definition format (emin prec : Z) (x : R) : Prop := generic_format radix2 (FLT_exp emin prec) x.
Definition nearest (emin prec : Z) (ties : Z -> bool) (t : R) : R :=
  round radix2 (FLT_exp emin prec) (Znearest ties) t.

Lemma u_bpow : u = bpow radix2 (-24). Proof. unfold u. simpl. lra. Qed.
Lemma eta_bpow : eta = bpow radix2 (-126). Proof. unfold eta. simpl. lra. Qed.
Lemma largest_bpow : largest = bpow radix2 128 - bpow radix2 104.
Proof. unfold largest. simpl. lra. Qed.

(** ** Formats that contain binary32 *)

Section Format.
Variables emin prec : Z.
Variable ties : Z -> bool.
Hypothesis Hprec : (24 <= prec)%Z.
Hypothesis Hemin : (emin <= -149)%Z.

Let prec_pos : Prec_gt_0 prec. Proof. red. lia. Qed.
Existing Instance prec_pos.

Lemma bpow_format e : (-149 <= e)%Z -> format emin prec (bpow radix2 e).
Proof. intros He. apply generic_format_bpow. unfold FLT_exp. lia. Qed.

Lemma nearest_error t : Rabs (nearest emin prec ties t - t) <= u * Rabs t + eta.
Proof.
  destruct (error_N_FLT radix2 emin prec ltac:(lia) ties t) as (e & d & He & Hd & _ & E).
  unfold nearest. rewrite E. replace (t * (1 + e) + d - t) with (e * t + d) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_mult, u_bpow, eta_bpow.
  apply Rplus_le_compat.
  - apply Rmult_le_compat_r; [apply Rabs_pos|]. apply Rle_trans with (1 := He).
    change (/ 2) with (bpow radix2 (-1)). rewrite <- bpow_plus. apply bpow_le. lia.
  - apply Rle_trans with (1 := Hd). change (/ 2) with (bpow radix2 (-1)). rewrite <- bpow_plus. apply bpow_le. lia.
Qed.

(** Below [eta] the error is smaller than [eta] by itself. *)
Lemma tiny_error t : Rabs t < eta -> Rabs (nearest emin prec ties t - t) <= eta.
Proof.
  intros Ht. destruct (error_N_FLT radix2 emin prec ltac:(lia) ties t) as (e & d & He & Hd & P & E).
  unfold nearest. rewrite E. replace (t * (1 + e) + d - t) with (e * t + d) by ring.
  apply Rmult_integral in P. destruct P as [->| ->].
  - rewrite Rmult_0_l, Rplus_0_l. apply Rle_trans with (1 := Hd). rewrite eta_bpow.
    change (/ 2) with (bpow radix2 (-1)). rewrite <- bpow_plus. apply bpow_le. lia.
  - rewrite Rplus_0_r, Rabs_mult. rewrite <- (Rmult_1_l eta). apply Rmult_le_compat; try apply Rabs_pos; [|lra].
    apply Rle_trans with (1 := He). change (/ 2) with (bpow radix2 (-1)). rewrite <- bpow_plus.
    change 1 with (bpow radix2 0). apply bpow_le. lia.
Qed.

Theorem nearest_rounds t : rounds t (Finite (nearest emin prec ties t)).
Proof. intros _. eexists. split; [reflexivity|]. apply nearest_error. Qed.

(** Flush to zero, after the rounding. *)
Definition flushed (t : R) : R :=
  let r := nearest emin prec ties t in if Rlt_dec (Rabs r) eta then 0 else r.

Theorem flushed_rounds t : rounds t (Finite (flushed t)).
Proof.
  intros _. eexists. split; [reflexivity|]. unfold flushed.
  destruct Rlt_dec as [H|_]; [|apply nearest_error].
  rewrite Rminus_0_l, Rabs_Ropp.
  destruct (Rle_or_lt (Rabs t) eta) as [K|K].
  - assert (0 <= u * Rabs t) by (apply Rmult_le_pos; [apply Rlt_le, u_pos|apply Rabs_pos]). lra.
  - apply Rlt_not_le in H. elim H. rewrite eta_bpow in *.
    apply abs_round_ge_generic; [typeclasses eauto|typeclasses eauto|apply bpow_format; lia|lra].
Qed.

(** A product with a power of two: a number of the format, or below [eta]. *)
Theorem nearest_scales w x : (emin + prec <= -125)%Z -> power_of_two w -> format emin prec x ->
  Rabs (nearest emin prec ties (w * x) - w * x) <= eta /\ Rabs (flushed (w * x) - w * x) <= eta.
Proof.
  intros Hep [k Hk] Hx. assert (He := eta_pos).
  assert (N : Rabs (nearest emin prec ties (w * x) - w * x) <= eta /\
              (eta <= Rabs (w * x) -> nearest emin prec ties (w * x) = w * x)).
  { destruct (Rle_or_lt eta (Rabs (w * x))) as [L|L].
    - assert (E : nearest emin prec ties (w * x) = w * x).
      { apply round_generic; [typeclasses eauto|].
        assert (Fx : format emin prec (bpow radix2 k * x)).
        { destruct (Req_dec x 0) as [->|Nx]; [rewrite Rmult_0_r; apply generic_format_0|].
          unfold format in *. rewrite (Hx : x = F2R (Float radix2 (Ztrunc (scaled_mantissa radix2 (FLT_exp emin prec) x)) (cexp radix2 (FLT_exp emin prec) x))).
          set (m := Ztrunc _). set (e := cexp _ _ x).
          assert (E : bpow radix2 k * F2R (Float radix2 m e) = F2R (Float radix2 m (e + k))).
          { unfold F2R. cbn [Fnum Fexp]. rewrite bpow_plus. ring. }
          rewrite E. apply generic_format_F2R. intros Nm. rewrite <- E. unfold e, m.
          assert (Xe : F2R (Float radix2 (Ztrunc (scaled_mantissa radix2 (FLT_exp emin prec) x)) (cexp radix2 (FLT_exp emin prec) x)) = x)
            by now symmetry.
          rewrite Xe. unfold cexp. rewrite Rmult_comm, mag_mult_bpow by exact Nx.
          assert (M : (-126 < mag radix2 x + k)%Z).
          { rewrite <- (mag_mult_bpow radix2 x k Nx). apply (mag_gt_bpow radix2 (x * bpow radix2 k) (-126)).
            rewrite <- eta_bpow. rewrite Rabs_mult, (Rabs_pos_eq (bpow radix2 k)) by apply bpow_ge_0.
            rewrite bpow_powerRZ. change (IZR radix2) with 2. rewrite <- Hk, <- Rabs_mult, Rmult_comm. exact L. }
          unfold FLT_exp. lia. }
        assert (S : w = bpow radix2 k \/ w = - bpow radix2 k).
        { rewrite bpow_powerRZ. change (IZR radix2) with 2. unfold Rabs in Hk. destruct Rcase_abs in Hk; lra. }
        destruct S as [->| ->]; [exact Fx|]. rewrite Ropp_mult_distr_l_reverse. now apply generic_format_opp. }
      split; [rewrite E, Rminus_diag_eq, Rabs_R0 by reflexivity; lra|now intros _].
    - split; [|lra]. assert (K := nearest_error (w * x)). apply Rle_trans with (1 := tiny_error _ L). lra. }
  destruct N as [N E]. split; [exact N|]. unfold flushed. destruct Rlt_dec as [F|F]; [|exact N].
  rewrite Rminus_0_l, Rabs_Ropp. destruct (Rle_or_lt eta (Rabs (w * x))) as [L|L]; [|lra].
  rewrite (E L) in F. lra.
Qed.

(** Adding an exact 0 to a number of the format does not round, whatever the rounding mode. *)
Theorem zero_added x : format emin prec x -> nearest emin prec ties (x + 0) = x.
Proof. intros H. rewrite Rplus_0_r. apply round_generic; [typeclasses eauto|exact H]. Qed.

End Format.

(** An operation in a wider format whose result is then converted to binary32 is one operation: the
    error of round to nearest is at most [u / (1 + u)] of the exact result, which leaves room. *)
Theorem converted_rounds emin prec ties ties' t : (50 <= prec)%Z -> (emin <= -149)%Z ->
  rounds t (Finite (nearest (-149) 24 ties' (nearest emin prec ties t))).
Proof.
  intros Hp He _. eexists. split; [reflexivity|]. unfold nearest.
  destruct (error_N_FLT radix2 emin prec ltac:(lia) ties t) as (e1 & d1 & E1 & D1 & _ & ->).
  set (s := t * (1 + e1) + d1).
  assert (P24 : Prec_gt_0 24) by reflexivity.
  destruct (relative_error_N_FLT'_ex radix2 (-149) 24 P24 ties' s) as (e2 & d2 & E2 & D2 & _ & ->).
  assert (H1 : Rabs e1 <= / 2 ^ 50).
  { apply Rle_trans with (1 := E1). replace (/ 2 ^ 50) with (bpow radix2 (-50)) by (simpl; lra).
    change (/ 2) with (bpow radix2 (-1)). rewrite <- bpow_plus. apply bpow_le. lia. }
  assert (H2 : Rabs e2 <= / 16777217).
  { apply Rle_trans with (1 := E2). replace (u_ro radix2 24) with (/ 16777216) by (unfold u_ro; simpl; lra).
    right. field. }
  assert (K1 : Rabs d1 <= / 2 ^ 150).
  { apply Rle_trans with (1 := D1). replace (/ 2 ^ 150) with (bpow radix2 (-150)) by (simpl; lra).
    change (/ 2) with (bpow radix2 (-1)). rewrite <- bpow_plus. apply bpow_le. lia. }
  assert (K2 : Rabs d2 <= / 2 ^ 150).
  { apply Rle_trans with (1 := D2). replace (/ 2 ^ 150) with (bpow radix2 (-150)) by (simpl; lra).
    change (/ 2) with (bpow radix2 (-1)). rewrite <- bpow_plus. apply bpow_le. lia. }
  replace (s * (1 + e2) + d2 - t) with (t * (e1 * (1 + e2) + e2) + (d1 * (1 + e2) + d2)) by (unfold s; ring).
  assert (A : Rabs (1 + e2) <= 2) by (unfold Rabs in *; repeat destruct Rcase_abs; lra).
  apply Rle_trans with (1 := Rabs_triang _ _). apply Rplus_le_compat.
  - rewrite Rabs_mult, Rmult_comm. apply Rmult_le_compat_r; [apply Rabs_pos|].
    apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_mult.
    assert (Rabs e1 * Rabs (1 + e2) <= / 2 ^ 50 * 2) by (apply Rmult_le_compat; try apply Rabs_pos; assumption).
    unfold u. lra.
  - apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_mult.
    assert (Rabs d1 * Rabs (1 + e2) <= / 2 ^ 150 * 2) by (apply Rmult_le_compat; try apply Rabs_pos; assumption).
    unfold eta. lra.
Qed.

(** ** The operations of IEEE 754 binary32 *)

Definition nearest_mode (m : mode) : Prop := m = mode_NE \/ m = mode_NA.

(** What a float stands for. *)
Definition value_of (x : binary32) : value :=
  if is_finite 24 128 x then Finite (B2R 24 128 x) else Overflow.

Lemma value_of_finite x p : value_of x = Finite p -> is_finite 24 128 x = true /\ B2R 24 128 x = p.
Proof. unfold value_of. destruct (is_finite 24 128 x); [|easy]. now intros [= ->]. Qed.

(** In range a rounded result does not overflow; [r] is what the operation returned. *)
Lemma in_range_nearest m t r : nearest_mode m -> Rabs t <= largest ->
  (Rlt_bool (Rabs (round radix2 (SpecFloat.fexp 24 128) (round_mode m) t)) (bpow radix2 128) = true ->
   B2R 24 128 r = round radix2 (SpecFloat.fexp 24 128) (round_mode m) t /\ is_finite 24 128 r = true) ->
  exists ties, value_of r = Finite (nearest (-149) 24 ties t).
Proof.
  intros Hm Ht H. assert (P24 : Prec_gt_0 24) by reflexivity.
  assert (N : exists ties, round radix2 (SpecFloat.fexp 24 128) (round_mode m) t = nearest (-149) 24 ties t).
  { destruct Hm as [->| ->]; eexists; reflexivity. }
  destruct N as [ties N]. rewrite N in H. destruct H as [HB HF].
  - apply Rlt_bool_true. apply Rle_lt_trans with largest.
    + apply abs_round_le_generic; [typeclasses eauto|typeclasses eauto| |exact Ht].
      rewrite largest_bpow. replace (bpow radix2 128 - bpow radix2 104) with
        (F2R (Float radix2 (2 ^ 24 - 1) 104)).
      * apply generic_format_F2R. intros _. unfold cexp, FLT_exp.
        rewrite (mag_F2R_Zdigits radix2 (2 ^ 24 - 1) 104) by easy. easy.
      * unfold F2R. cbn [Fnum Fexp]. rewrite minus_IZR. simpl (IZR (2 ^ 24)).
        replace (bpow radix2 128) with (bpow radix2 24 * bpow radix2 104) by (rewrite <- bpow_plus; reflexivity).
        simpl (bpow radix2 24). ring.
    + rewrite largest_bpow. generalize (bpow_gt_0 radix2 104). lra.
  - exists ties. unfold value_of. now rewrite HF, HB.
Qed.

Lemma in_range m t r : nearest_mode m -> Rabs t <= largest ->
  (Rlt_bool (Rabs (round radix2 (SpecFloat.fexp 24 128) (round_mode m) t)) (bpow radix2 128) = true ->
   B2R 24 128 r = round radix2 (SpecFloat.fexp 24 128) (round_mode m) t /\ is_finite 24 128 r = true) ->
  exists p, value_of r = Finite p /\ Rabs (p - t) <= u * Rabs t + eta.
Proof.
  intros Hm Ht H. destruct (in_range_nearest m t r Hm Ht H) as [ties E]. exists (nearest (-149) 24 ties t).
  split; [exact E|]. apply nearest_error; lia.
Qed.

Theorem plus_computes m x y : nearest_mode m ->
  computes Rplus (value_of x) (value_of y) (value_of (b32_plus m x y)).
Proof.
  intros Hm p q Hp Hq. apply value_of_finite in Hp as [Fx <-]. apply value_of_finite in Hq as [Fy <-].
  exists (B2R 24 128 x), (B2R 24 128 y). split; [apply reads_refl|]. split; [apply reads_refl|]. intros Ht.
  apply (in_range m); [exact Hm|exact Ht|]. intros L.
  assert (K := Bplus_correct 24 128 eq_refl eq_refl binop_nan_pl32 m x y Fx Fy). rewrite L in K. tauto.
Qed.

Theorem mult_computes m x y : nearest_mode m ->
  computes Rmult (value_of x) (value_of y) (value_of (b32_mult m x y)).
Proof.
  intros Hm p q Hp Hq. apply value_of_finite in Hp as [Fx <-]. apply value_of_finite in Hq as [Fy <-].
  exists (B2R 24 128 x), (B2R 24 128 y). split; [apply reads_refl|]. split; [apply reads_refl|]. intros Ht.
  apply (in_range m); [exact Hm|exact Ht|]. intros L.
  assert (K := Bmult_correct 24 128 eq_refl eq_refl binop_nan_pl32 m x y). rewrite L in K.
  rewrite Fx, Fy in K. tauto.
Qed.

(** The product of a weight, exact if that is a power of two. *)
Theorem mult_multiplies m w x : nearest_mode m ->
  forall p q, value_of w = Finite p -> value_of x = Finite q -> multiplies p q (value_of (b32_mult m w x)).
Proof.
  intros Hm p q Hp Hq. apply value_of_finite in Hp as [Fw <-]. apply value_of_finite in Hq as [Fx <-].
  set (a := B2R 24 128 w). set (b := B2R 24 128 x). exists a, b. split; [apply reads_refl|]. split; [apply reads_refl|].
  assert (K : Rabs (a * b) <= largest -> exists ties, value_of (b32_mult m w x) = Finite (nearest (-149) 24 ties (a * b))).
  { intros Ht. apply (in_range_nearest m); [exact Hm|exact Ht|]. intros L.
    assert (K := Bmult_correct 24 128 eq_refl eq_refl binop_nan_pl32 m w x). fold a b in K. rewrite L in K.
    rewrite Fw, Fx in K. tauto. }
  split.
  - intros Ht. destruct (K Ht) as [ties ->]. eexists. split; [reflexivity|]. apply nearest_error; lia.
  - intros Pw Ht. destruct (K Ht) as [ties ->]. eexists. split; [reflexivity|].
    apply nearest_scales; try lia; [exact Pw|]. apply (generic_format_B2R 24 128).
Qed.

Theorem fma_computes m w x a : nearest_mode m ->
  forall p q, value_of w = Finite p -> value_of x = Finite q ->
  computes_fma p q (value_of a) (value_of (b32_fma m w x a)).
Proof.
  intros Hm p q Hp Hq s Hs. apply value_of_finite in Hp as [Fw <-]. apply value_of_finite in Hq as [Fx <-].
  apply value_of_finite in Hs as [Fa <-].
  exists (B2R 24 128 w), (B2R 24 128 x), (B2R 24 128 a). repeat (split; [apply reads_refl|]). intros Ht.
  apply (in_range m); [exact Hm|exact Ht|]. intros L.
  assert (K := Bfma_correct 24 128 eq_refl eq_refl ternop_nan_pl32 m w x a Fw Fx Fa). cbv zeta in K.
  rewrite L in K. tauto.
Qed.

Theorem quotient_computes m x y : nearest_mode m ->
  computes_quotient (value_of x) (value_of y) (value_of (b32_div m x y)).
Proof.
  intros Hm p q Hp Hq Nq. apply value_of_finite in Hp as [Fx <-]. apply value_of_finite in Hq as [Fy <-].
  exists (B2R 24 128 x). split; [apply reads_refl|]. intros Ht.
  apply (in_range m); [exact Hm|exact Ht|]. intros L.
  assert (Ny : B2R 24 128 y <> 0).
  { intros E. rewrite E, Rabs_R0 in Nq. generalize eta_pos. lra. }
  assert (K := Bdiv_correct 24 128 eq_refl eq_refl binop_nan_pl32 m x y Ny). rewrite L in K.
  rewrite Fx in K. tauto.
Qed.
