(** * The operations of IEEE 754 binary32

    - [plus_adds], [mult_multiplies], [div_divides_by], [fma_fuses], [minus_computes],
      [mult_computes], [quotient_computes]: Flocq's binary32 operations (IEEE 754, with infinities
      and NaN), to nearest-even and nearest-away, do what Statement.v says of them.

    Rests on Flocq and Rounding.v. Stands behind the assumption [any-order-binary32]. *)

From Coq Require Import Reals Lra Lia ZArith.
From Flocq Require Import Core IEEE754.Binary IEEE754.Bits.
From Flocq Require IEEE754.BinarySingleNaN.
Notation round_mode := BinarySingleNaN.round_mode.
Import BinarySingleNaN(mode(..)).
From Lastbit Require Import Statement binary32.Terms binary32.Rounding.
Open Scope R_scope.

Definition nearest_mode (m : mode) : Prop := m = mode_NE \/ m = mode_NA.

(** What a float stands for. *)
Definition value_of (x : binary32) : value :=
  if is_finite 24 128 x then Finite (B2R 24 128 x) else Overflow.

Lemma value_of_finite x p : value_of x = Finite p -> is_finite 24 128 x = true /\ B2R 24 128 x = p.
Proof. unfold value_of. destruct (is_finite 24 128 x); [|easy]. now intros [= ->]. Qed.

(** In range a rounded result does not overflow; [r] is what the operation returned. *)
Lemma in_range_nearest m t r : nearest_mode m -> Rabs t <= largest ->
  (Rlt_bool (Rabs (round radix2 (SpecFloat.fexp 24 128) (round_mode m) t)) (bpow radix2 128) =
    true ->
   B2R 24 128 r = round radix2 (SpecFloat.fexp 24 128) (round_mode m) t /\
     is_finite 24 128 r = true) ->
  exists ties, value_of r = Finite (nearest (-149) 24 ties t).
Proof.
  intros Hm Ht H. assert (P24 : Prec_gt_0 24) by reflexivity.
  assert (N : exists ties, round radix2 (SpecFloat.fexp 24 128) (round_mode m) t =
    nearest (-149) 24 ties t).
  { destruct Hm as [->| ->]; eexists; reflexivity. }
  destruct N as [ties N]. rewrite N in H. destruct H as [HB HF].
  - apply Rlt_bool_true. apply Rle_lt_trans with largest.
    + apply abs_round_le_generic; [typeclasses eauto|typeclasses eauto| |exact Ht].
      rewrite largest_bpow. replace (bpow radix2 128 - bpow radix2 104) with
        (F2R (Float radix2 (2 ^ 24 - 1) 104)).
      * apply generic_format_F2R. intros _. unfold cexp, FLT_exp.
        rewrite (mag_F2R_Zdigits radix2 (2 ^ 24 - 1) 104) by easy. easy.
      * unfold F2R. cbn [Fnum Fexp]. rewrite minus_IZR. simpl (IZR (2 ^ 24)).
        replace (bpow radix2 128) with (bpow radix2 24 * bpow radix2 104) by (rewrite <- bpow_plus;
          reflexivity).
        simpl (bpow radix2 24). ring.
    + rewrite largest_bpow. generalize (bpow_gt_0 radix2 104). lra.
  - exists ties. unfold value_of. now rewrite HF, HB.
Qed.

Lemma in_range m t r : nearest_mode m ->
  (Rabs t <= largest ->
   Rlt_bool (Rabs (round radix2 (SpecFloat.fexp 24 128) (round_mode m) t)) (bpow radix2 128) =
     true ->
   B2R 24 128 r = round radix2 (SpecFloat.fexp 24 128) (round_mode m) t /\
     is_finite 24 128 r = true) ->
  rounds t (value_of r).
Proof.
  intros Hm H L. destruct (in_range_nearest m t r Hm L (H L)) as [ties ->].
  now apply nearest_rounds.
Qed.

Lemma in_format x : format (-149) 24 (B2R 24 128 x). Proof. apply (generic_format_B2R 24 128). Qed.

Lemma finite_in_range x : Rabs (B2R 24 128 x) <= largest.
Proof. rewrite largest_bpow. now apply (abs_B2R_le_emax_minus_prec 24 128). Qed.

(** A result in the format comes back as it is. *)
Lemma format_comes_back t v : format (-149) 24 t -> Rabs t <= largest ->
  (Rabs t <= largest -> exists ties, v = Finite (nearest (-149) 24 ties t)) -> v = Finite t.
Proof.
  intros F L H. destruct (H L) as [ties ->]. f_equal. assert (P24 : Prec_gt_0 24) by reflexivity.
  apply round_generic; [typeclasses eauto|exact F].
Qed.

Section Operations.
Variable m : mode.
Hypothesis Hm : nearest_mode m.

Lemma plus_nearest x y : is_finite 24 128 x = true -> is_finite 24 128 y = true ->
  let t := B2R 24 128 x + B2R 24 128 y in
  Rabs t <= largest -> exists ties, value_of (b32_plus m x y) = Finite (nearest (-149) 24 ties t).
Proof.
  intros Fx Fy t Ht. apply (in_range_nearest m); [exact Hm|exact Ht|]. intros L.
  epose proof (Bplus_correct 24 128 _ _ binop_nan_pl32 m x y Fx Fy) as K. fold t in K.
  rewrite L in K. exact (conj (proj1 K) (proj1 (proj2 K))).
Qed.

Theorem plus_adds x y : adds (value_of x) (value_of y) (value_of (b32_plus m x y)).
Proof.
  intros p q Hp Hq. apply value_of_finite in Hp as [Fx <-]. apply value_of_finite in Hq as [Fy <-].
  exists (B2R 24 128 x), (B2R 24 128 y). assert (K := plus_nearest x y Fx Fy). cbv zeta in K.
  split; [apply reads_refl|]. split; [apply reads_refl|]. split; [|split].
  - intros Ht. destruct (K Ht) as [ties ->]. now apply nearest_rounds.
  - intros Z. rewrite Z, Rplus_0_l in K.
    now apply format_comes_back; [apply in_format|apply finite_in_range|].
  - intros Z. rewrite Z, Rplus_0_r in K.
    now apply format_comes_back; [apply in_format|apply finite_in_range|].
Qed.

Theorem minus_computes x y : computes Rminus (value_of x) (value_of y) (value_of (b32_minus m x y)).
Proof.
  intros p q Hp Hq. apply value_of_finite in Hp as [Fx <-]. apply value_of_finite in Hq as [Fy <-].
  exists (B2R 24 128 x), (B2R 24 128 y). split; [apply reads_refl|]. split; [apply reads_refl|].
  apply (in_range m); [exact Hm|]. intros Ht L.
  epose proof (Bminus_correct 24 128 _ _ binop_nan_pl32 m x y Fx Fy) as K. rewrite L in K.
  exact (conj (proj1 K) (proj1 (proj2 K))).
Qed.

Lemma mult_nearest x y : is_finite 24 128 x = true -> is_finite 24 128 y = true ->
  let t := B2R 24 128 x * B2R 24 128 y in
  Rabs t <= largest -> exists ties, value_of (b32_mult m x y) = Finite (nearest (-149) 24 ties t).
Proof.
  intros Fx Fy t Ht. apply (in_range_nearest m); [exact Hm|exact Ht|]. intros L.
  epose proof (Bmult_correct 24 128 _ _ binop_nan_pl32 m x y) as K. fold t in K.
  rewrite L, Fx, Fy in K. exact (conj (proj1 K) (proj1 (proj2 K))).
Qed.

Theorem mult_computes x y : computes Rmult (value_of x) (value_of y) (value_of (b32_mult m x y)).
Proof.
  intros p q Hp Hq. apply value_of_finite in Hp as [Fx <-]. apply value_of_finite in Hq as [Fy <-].
  exists (B2R 24 128 x), (B2R 24 128 y). split; [apply reads_refl|]. split; [apply reads_refl|].
  intros Ht.
  destruct (mult_nearest x y Fx Fy Ht) as [ties ->]. now apply nearest_rounds.
Qed.

(** A constant times a number, exact if the constant is a power of two. *)
Theorem mult_multiplies c x : multiplies (value_of c) (value_of x) (value_of (b32_mult m c x)).
Proof.
  intros p q Hp Hq. apply value_of_finite in Hp as [Fc <-]. apply value_of_finite in Hq as [Fx <-].
  exists (B2R 24 128 c), (B2R 24 128 x). assert (K := mult_nearest c x Fc Fx). cbv zeta in K.
  split; [apply reads_refl|]. split; [apply reads_refl|]. split.
  - intros Ht. destruct (K Ht) as [ties ->]. now apply nearest_rounds.
  - intros P Ht. destruct (K Ht) as [ties ->].
    now apply nearest_shifts; [| | |exact P|apply in_format|].
Qed.

Lemma quotient_nearest x y : is_finite 24 128 x = true -> eta < Rabs (B2R 24 128 y) ->
  let t := B2R 24 128 x / B2R 24 128 y in
  Rabs t <= largest -> exists ties, value_of (b32_div m x y) = Finite (nearest (-149) 24 ties t).
Proof.
  intros Fx Ny t Ht. apply (in_range_nearest m); [exact Hm|exact Ht|]. intros L.
  assert (Zy : B2R 24 128 y <> 0) by (intros E; rewrite E, Rabs_R0 in Ny; generalize eta_pos; lra).
  epose proof (Bdiv_correct 24 128 _ _ binop_nan_pl32 m x y Zy) as K. fold t in K.
  rewrite L, Fx in K. exact (conj (proj1 K) (proj1 (proj2 K))).
Qed.

Theorem quotient_computes x y : computes_quotient (value_of x) (value_of y) (value_of (b32_div m x
  y)).
Proof.
  intros p q Hp Hq Nq. apply value_of_finite in Hp as [Fx <-].
  apply value_of_finite in Hq as [Fy <-].
  exists (B2R 24 128 x). split; [apply reads_refl|]. intros Ht.
  destruct (quotient_nearest x y Fx Nq Ht) as [ties ->]. now apply nearest_rounds.
Qed.

Theorem div_divides_by c x : divides_by (value_of c) (value_of x) (value_of (b32_div m x c)).
Proof.
  intros p q Hp Hq Np. apply value_of_finite in Hp as [Fc <-].
  apply value_of_finite in Hq as [Fx <-].
  exists (B2R 24 128 x). assert (K := quotient_nearest x c Fx Np). cbv zeta in K.
  split; [apply reads_refl|]. split.
  - intros Ht. destruct (K Ht) as [ties ->]. now apply nearest_rounds.
  - intros P Ht. destruct (K Ht) as [ties ->].
    now apply quotient_shifts; [| | |exact P|apply in_format|].
Qed.

Theorem fma_fuses c x a : fuses (value_of c) (value_of x) (value_of a) (value_of (b32_fma m c x a)).
Proof.
  intros p q s Hp Hq Hs. apply value_of_finite in Hp as [Fc <-].
  apply value_of_finite in Hq as [Fx <-].
  apply value_of_finite in Hs as [Fa <-].
  assert (K : let t := B2R 24 128 c * B2R 24 128 x + B2R 24 128 a in
    Rabs t <= largest -> exists ties, value_of (b32_fma m c x a) =
      Finite (nearest (-149) 24 ties t)).
  { intros t Ht. apply (in_range_nearest m); [exact Hm|exact Ht|]. intros L.
    epose proof (Bfma_correct 24 128 _ _ ternop_nan_pl32 m c x a Fc Fx Fa) as K.
    cbv zeta in K. fold t in K.
    rewrite L in K. exact (conj (proj1 K) (proj1 (proj2 K))). }
  cbv zeta in K. exists (B2R 24 128 c), (B2R 24 128 x), (B2R 24 128 a).
  repeat (split; [apply reads_refl|]). split; [|split].
  - intros Ht. destruct (K Ht) as [ties ->]. now apply nearest_rounds.
  - intros Z. rewrite Z, Rplus_0_l in K.
    now apply format_comes_back; [apply in_format|apply finite_in_range|].
  - intros Z P. rewrite Z, Rplus_0_r in K. intros Ht. destruct (K Ht) as [ties ->].
    now apply nearest_shifts; [| | |exact P|apply in_format|].
Qed.
End Operations.
