(** * One tap and a bias that let no last bit through

    A unit that adds [w * v / 255 + b] for a byte [v], by any allowed arithmetic, and stores the result
    in binary32. Weights here are integers in units of 2^-149, which every binary32 number is.

    - [only_one]: of binary32 numbers from [2^23 s] on, those within [s] of a multiple of [s] are it;
    - [tap_error]: every evaluation of the sum is within [reach] of its exact value;
    - [absorbs]: decides, byte by byte, that each pair [2k], [2k + 1] leaves one number, [remains];
    - [absorbed]: then every evaluation that is a binary32 number is [remains w b (v / 2)].

    Rests on Sums.v, Units.v, Rounding.v, File.v. Stands behind [absorb.bytes] of bytes.py, which encloses every
    operation in intervals where this takes one bound for all of them. *)

From Coq Require Import Reals Lra Lia ZArith List Permutation.
From Flocq Require Import Core.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Additions binary32.Sums binary32.Rounding.
From Lastbit Require Import operations.Units onnx.File.
Import ListNotations.
Open Scope R_scope.

(** The binary32 numbers. *)
Definition binary32_number (r : R) : Prop := format (-149) 24 r.

Lemma two_pow n : IZR (2 ^ Z.of_nat n) = 2 ^ n. Proof. now rewrite <- pow_IZR. Qed.

(** ** The only binary32 number near a point *)

Lemma only_one r n e : binary32_number r -> (2 ^ 23 < n)%Z ->
  Rabs (r - IZR n * bpow radix2 e) < bpow radix2 e -> r = IZR n * bpow radix2 e.
Proof.
  intros F Hn Hr. set (s := bpow radix2 e) in *. assert (Hs : 0 < s) by apply bpow_gt_0.
  assert (P24 : Prec_gt_0 24) by reflexivity.
  apply FLT_format_generic in F; [|exact P24]. destruct F as [[m f] -> Hm _]. cbn [Fnum Fexp] in *. unfold F2R in *. cbn [Fnum Fexp] in *.
  assert (N : IZR (2 ^ 23) + 1 <= IZR n) by (rewrite <- plus_IZR; apply IZR_le; lia).
  assert (L : IZR (2 ^ 23) * s < IZR m * bpow radix2 f).
  { apply Rabs_lt_inv in Hr. assert ((IZR (2 ^ 23) + 1) * s <= IZR n * s) by (apply Rmult_le_compat_r; lra). lra. }
  assert (M : IZR m <= IZR (2 ^ 24) - 1) by (rewrite <- minus_IZR; apply IZR_le; change (radix2 ^ 24)%Z with (2 ^ 24)%Z in Hm; lia).
  destruct (Z_lt_le_dec f e) as [Q|Q].
  - exfalso. assert (B : bpow radix2 f <= s / 2).
    { unfold s. replace (bpow radix2 e / 2) with (bpow radix2 (e - 1)); [apply bpow_le; lia|].
      unfold Z.sub. rewrite bpow_plus. simpl. lra. }
    assert (K : IZR m * bpow radix2 f <= IZR (2 ^ 24) * (s / 2)).
    { apply Rle_trans with (IZR (2 ^ 24) * bpow radix2 f).
      - apply Rmult_le_compat_r; [apply bpow_ge_0|lra].
      - apply Rmult_le_compat_l; [apply IZR_le; lia|exact B]. }
    change (2 ^ 24)%Z with (2 * 2 ^ 23)%Z in K. rewrite mult_IZR in K. lra.
  - assert (E : bpow radix2 f = IZR (radix2 ^ (f - e)) * s).
    { unfold s. rewrite IZR_Zpower by lia. rewrite <- bpow_plus. f_equal. lia. }
    rewrite E, <- Rmult_assoc, <- mult_IZR in *. set (k := (m * radix2 ^ (f - e))%Z) in *.
    replace (IZR k * s - IZR n * s) with (IZR (k - n) * s) in Hr by (rewrite minus_IZR; ring).
    rewrite Rabs_mult, (Rabs_pos_eq s), <- abs_IZR in Hr by lra.
    assert (A : IZR (Z.abs (k - n)) < 1).
    { apply (Rmult_lt_reg_r s); [exact Hs|]. lra. }
    apply lt_IZR in A. replace k with n by lia. reflexivity.
Qed.

(** ** The sum *)

(** Terms that are 0 count for nothing. *)
Lemma error_vanish c f z l : all_vanish z ->
  error c f (z ++ l) = error c f l /\ size (z ++ l) = size l /\ exact_sum (z ++ l) = exact_sum l.
Proof.
  intros Z. assert (Lz := proj1 (live_vanish z) Z). destruct (vanish_sums z Z) as [X0 P0].
  assert (F0 : total (map flush_of z) = 0).
  { clear -Z. induction Z as [|t z H _ IH]; [reflexivity|]. simpl. fold (total (map flush_of z)). rewrite IH.
    unfold flush_of. destruct t; [|lra]. apply magnitude_0, nonzero_0 in H. rewrite H. lra. }
  split; [|split].
  - unfold error, first_order. rewrite live_app, Lz. cbn [app]. rewrite !map_app, !total_app, P0, F0. now rewrite !Rplus_0_l.
  - now rewrite <- !total_live, live_app, Lz.
  - unfold exact_sum in *. rewrite map_app, total_app, X0. lra.
Qed.

(** The error of a product and a constant, of which one sum is made at most: no cap is of use. *)
Lemma pair_error c f w x b : 0 <= c -> 0 <= f ->
  error c f [Product w x; Constant b] <= (1 + u) ^ 2 * (u * (f + Rabs (w * x)) + eta * (2 * Rabs w + 2 * Rabs x + 6)).
Proof.
  intros Hc Hf. assert (Hu := u_pos). assert (He := eta_pos).
  set (l := [Product w x; Constant b]). assert (N : (length (live l) <= 2)%nat).
  { unfold live, l. simpl. destruct (nonzero _), (nonzero _); simpl; lia. }
  unfold error. apply Rle_trans with ((1 + u) ^ 2 * first_order c f l); [now apply amplify, first_order_pos|].
  apply Rmult_le_compat_l; [generalize (pow_1u 2); lra|]. unfold first_order.
  assert (W : worst c f (live l) <= f).
  { unfold live, l. simpl. destruct (nonzero _), (nonzero _); simpl; unfold levels, over; simpl; lra. }
  assert (Pl : INR (Nat.pred (length (live l))) <= 1) by (change 1 with (INR 1); apply le_INR; lia).
  assert (Pp : total (map products_of l) <= Rabs (w * x)).
  { unfold l. simpl. unfold magnitude. simpl. generalize (Rabs_pos (w * x)). destruct (scales w); lra. }
  assert (Pf : total (map flush_of l) <= 2 * Rabs w + 2 * Rabs x + 2).
  { unfold l. simpl. generalize (Rabs_pos w) (Rabs_pos x). destruct (nonzero _); lra. }
  apply Rplus_le_compat; apply Rmult_le_compat_l; lra.
Qed.

(** The bound of all roundings: of the byte over 255, of the product, of the sum. *)
Definition reach (w b : R) : R := u * (6 * Rabs w + Rabs b) + 4 * u * u * Rabs b + 16 * eta * (Rabs w + 1).

(** What is left of the byte over 255: within [3 u]. *)
Lemma quotient_near v x : (0 <= v <= 255)%Z -> divides (Finite (IZR v)) (Finite 255) x ->
  exists r, x = Finite r /\ Rabs (r - IZR v / 255) <= 3 * u.
Proof.
  intros Hv D. assert (A : Rabs (IZR v) <= 255).
  { rewrite <- abs_IZR. apply IZR_le. lia. }
  destruct (quotient_rounding (IZR v) 255 x 255 A) as (r & -> & Hr); [|exact D|].
  - unfold quotient_range. rewrite (Rabs_pos_eq 255) by lra. unfold largest, eta. lra.
  - exists r. split; [reflexivity|]. apply Rle_trans with (1 := Hr). unfold any_quotient_noise. rewrite (Rabs_pos_eq 255) by lra.
    unfold u, eta. lra.
Qed.

(** [r] is the computed quotient; [z] are the terms that are 0. *)
Lemma tap_error w b v r z l y : (0 <= v <= 255)%Z -> Rabs (r - IZR v / 255) <= 3 * u ->
  all_vanish z -> Permutation l (z ++ [Product w r; Constant b]) -> sum l y ->
  2 * (Rabs w + Rabs b + 1) <= largest ->
  exists a p, y = Finite p /\ reads a p /\ Rabs (a - (w * (IZR v / 255) + b)) <= reach w b.
Proof.
  intros Hv Hr Hz P Hy Hl. assert (Hu := u_pos). assert (He := eta_pos).
  set (f := Rabs (w * r) + Rabs b). assert (Hf : 0 <= f) by (unfold f; generalize (Rabs_pos (w * r)) (Rabs_pos b); lra).
  destruct (sums_perm _ _ P) as (EX & ES). assert (EE := error_perm f f _ _ P).
  destruct (error_vanish f f z [Product w r; Constant b] Hz) as (E1 & E2 & E3).
  rewrite E1 in EE. rewrite E2 in ES. rewrite E3 in EX.
  assert (V : 0 <= IZR v / 255 <= 1) by (destruct Hv as [V0 V1]; apply IZR_le in V0, V1; lra).
  assert (Ar : Rabs r <= 1 + 3 * u).
  { replace r with (r - IZR v / 255 + IZR v / 255) by ring. apply Rle_trans with (1 := Rabs_triang _ _).
    rewrite (Rabs_pos_eq (IZR v / 255)) by lra. lra. }
  set (W := Rabs w) in *. set (B := Rabs b) in *. assert (HW : 0 <= W) by apply Rabs_pos. assert (HB : 0 <= B) by apply Rabs_pos.
  assert (U1 : u = / 16777216) by (unfold u; lra). assert (E0 : eta <= / 1000000) by (unfold eta; lra).
  assert (Wr : Rabs (w * r) <= W * (1 + 3 * u)).
  { rewrite Rabs_mult. now apply Rmult_le_compat_l. }
  assert (K := pair_error f f w r b Hf Hf). fold W in K.
  assert (K1 : error f f [Product w r; Constant b] <=
    (1 + u) ^ 2 * (u * (2 * (W * (1 + 3 * u)) + B) + eta * (2 * W + 9))).
  { apply Rle_trans with (1 := K). apply Rmult_le_compat_l; [apply pow_le; lra|]. unfold f. fold B.
    apply Rplus_le_compat; apply Rmult_le_compat_l; lra. }
  assert (EW : 0 <= eta * W) by (apply Rmult_le_pos; lra).
  assert (K2 : (1 + u) ^ 2 * (u * (2 * (W * (1 + 3 * u)) + B) + eta * (2 * W + 9)) + 3 * u * W <= reach w b).
  { unfold reach. fold W B. rewrite U1. simpl. lra. }
  assert (S : size [Product w r; Constant b] = Rabs (w * r) + B) by (unfold size, magnitude, B; simpl; lra).
  assert (S' : size l = f) by (unfold f; fold B; now rewrite ES, S).
  assert (Xf : Rabs (exact_sum l) <= f) by (rewrite <- S'; apply exact_sum_size).
  destruct (sum_error f Hf l y Hy f) as (a & p & -> & Ra & Ea).
  { apply (bounded_parts f f l Xf). lra. }
  { exact Xf. }
  { rewrite ES, EE, S. unfold reach in K2. fold W B in K2.
    assert (eta * (W + 1) <= / 1000000 * (W + 1)) by (apply Rmult_le_compat_r; lra). rewrite U1 in *. lra. }
  exists a, p. split; [reflexivity|]. split; [exact Ra|]. rewrite EX, EE in Ea. unfold exact_sum in Ea. simpl in Ea.
  replace (a - (w * (IZR v / 255) + b)) with ((a - (w * r + (b + 0))) + w * (r - IZR v / 255)) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_mult. fold W.
  assert (W * Rabs (r - IZR v / 255) <= W * (3 * u)) by (apply Rmult_le_compat_l; lra). lra.
Qed.

(** ** The decision, byte by byte *)

(** [reach], in units of 2^-149, times 2^48; rounded up. *)
Definition scaled_reach (w b : Z) : Z := 2 ^ 24 * (6 * Z.abs w + Z.abs b) + 4 * Z.abs b + Z.abs w + 2 ^ 75.

(** The exponent of the spacing, and the multiple of it that is left of the pair [2 k], [2 k + 1]. *)
Definition spacing (b : Z) : Z := Z.log2 b - 23.
Definition multiple (w b k : Z) : Z :=
  let s := (255 * 2 ^ spacing b)%Z in ((w * (2 * k) + 255 * b + s / 2) / s)%Z.
Definition remains (w b k : Z) : Z := multiple w b k * 2 ^ spacing b.

(** Every evaluation for the byte [v] is nearer to [remains] than the spacing, and the spacing is right. *)
Definition one_left (w b v : Z) : bool :=
  let n := multiple w b (v / 2) in let s := (255 * 2 ^ spacing b)%Z in
  ((2 ^ 23 <? n) && (Z.abs (w * v + 255 * b - n * s) * 2 ^ 48 + 255 * scaled_reach w b <? s * 2 ^ 48))%Z%bool.

Definition all_bytes : list Z := map Z.of_nat (seq 0 256).
Definition absorbs (w b : Z) : bool :=
  ((0 <=? spacing b) && (Z.abs w <? 2 ^ 200) && (Z.abs b <? 2 ^ 200))%Z%bool && forallb (one_left w b) all_bytes.

Lemma ulps_abs z : Rabs (ulps z) = ulps (Z.abs z).
Proof. unfold ulps. rewrite Rabs_mult, abs_IZR, (Rabs_pos_eq (bpow _ _)); [reflexivity|apply bpow_ge_0]. Qed.

Lemma scaled_reach_is w b : reach (ulps w) (ulps b) <= ulps (scaled_reach w b) / 2 ^ 48.
Proof.
  unfold reach, scaled_reach. rewrite !ulps_abs. unfold ulps. rewrite !plus_IZR, !mult_IZR, !plus_IZR, !mult_IZR.
  set (W := IZR (Z.abs w)). set (B := IZR (Z.abs b)). set (g := bpow radix2 (-149)).
  assert (HW : 0 <= W) by (apply IZR_le; lia). assert (G : 0 < g) by apply bpow_gt_0.
  assert (E : eta = 2 ^ 23 * g).
  { rewrite eta_bpow. unfold g. rewrite <- (two_pow 23 : bpow radix2 23 = _).
    now rewrite <- bpow_plus. }
  assert (WG : 0 <= W * g) by (apply Rmult_le_pos; lra).
  assert (H1 : 16 * eta * (W * g) <= / 2 ^ 48 * (W * g)) by (apply Rmult_le_compat_r; [exact WG|unfold eta; lra]).
  replace (16 * eta * (W * g + 1)) with (16 * eta * (W * g) + 16 * eta) by ring. rewrite E in *.
  rewrite (two_pow 24 : IZR (2 ^ 24) = _), (two_pow 75 : IZR (2 ^ 75) = _). unfold u in *. lra.
Qed.

(** [x] is one tap of a byte, and [y] is stored in binary32. *)
Theorem absorbed w b v r z l y : absorbs w b = true -> (0 <= v <= 255)%Z -> Rabs (r - IZR v / 255) <= 3 * u ->
  all_vanish z -> Permutation l (z ++ [Product (ulps w) r; Constant (ulps b)]) -> sum l y ->
  (forall p, y = Finite p -> binary32_number p) ->
  y = Finite (ulps (remains w b (v / 2))) /\ 0 < ulps (remains w b (v / 2)).
Proof.
  intros Ha Hv Hr Hz P Hy Hb. unfold absorbs in Ha. rewrite !Bool.andb_true_iff, Z.leb_le, !Z.ltb_lt, forallb_forall in Ha.
  destruct Ha as [[[He Hw] HB] Ha].
  assert (O : one_left w b v = true).
  { apply Ha. unfold all_bytes. apply in_map_iff. exists (Z.to_nat v). split; [lia|]. apply in_seq. lia. }
  unfold one_left in O. rewrite Bool.andb_true_iff, !Z.ltb_lt in O. unfold remains. set (n := multiple w b (v / 2)) in *.
  set (e := spacing b) in *. destruct O as [Hn O]. cbv zeta in O.
  set (g := bpow radix2 (-149)). assert (G : 0 < g) by apply bpow_gt_0.
  assert (Es : ulps (n * 2 ^ e) = IZR n * bpow radix2 (e - 149)).
  { unfold ulps. rewrite mult_IZR, Rmult_assoc. f_equal. change 2%Z with (radix_val radix2).
    rewrite IZR_Zpower by exact He. now rewrite <- bpow_plus. }
  assert (Sp : 0 < bpow radix2 (e - 149)) by apply bpow_gt_0.
  assert (Hn' : 2 ^ 23 < IZR n) by (rewrite <- (two_pow 23 : IZR (2 ^ 23) = _); apply IZR_lt; exact Hn).
  assert (Big : forall t, (Z.abs t < 2 ^ 200)%Z -> Rabs (ulps t) <= 2 ^ 51).
  { intros t Ht. rewrite ulps_abs. unfold ulps. apply Rle_trans with (IZR (2 ^ 200) * g).
    - apply Rmult_le_compat_r; [lra|]. apply IZR_le. lia.
    - unfold g. change (IZR (2 ^ 200)) with (bpow radix2 200). rewrite <- bpow_plus. simpl. lra. }
  destruct (tap_error (ulps w) (ulps b) v r z l y Hv Hr Hz P Hy) as (a & p & -> & Ra & Ea).
  { assert (A := Big w Hw). assert (B := Big b HB). unfold largest. lra. }
  assert (D : Rabs (a - IZR n * bpow radix2 (e - 149)) < bpow radix2 (e - 149)).
  { apply Rle_lt_trans with (Rabs (a - (ulps w * (IZR v / 255) + ulps b)) + Rabs (ulps w * (IZR v / 255) + ulps b - ulps (n * 2 ^ e))).
    { rewrite <- Es. replace (a - ulps (n * 2 ^ e)) with
        ((a - (ulps w * (IZR v / 255) + ulps b)) + (ulps w * (IZR v / 255) + ulps b - ulps (n * 2 ^ e))) by ring.
      apply Rabs_triang. }
    apply IZR_lt in O. rewrite plus_IZR, !mult_IZR, abs_IZR, minus_IZR, plus_IZR, !mult_IZR in O.
    rewrite (two_pow 48 : IZR (2 ^ 48) = _) in O.
    assert (R1 : reach (ulps w) (ulps b) <= IZR (scaled_reach w b) * g / 2 ^ 48) by exact (scaled_reach_is w b).
    replace (ulps w * (IZR v / 255) + ulps b - ulps (n * 2 ^ e)) with
      ((IZR w * IZR v + 255 * IZR b - IZR n * (255 * IZR (2 ^ e))) * (g / 255)) by (unfold ulps; fold g; rewrite mult_IZR; field).
    rewrite Rabs_mult, (Rabs_pos_eq (g / 255)) by lra.
    replace (bpow radix2 (e - 149)) with (IZR (2 ^ e) * g).
    2:{ change 2%Z with (radix_val radix2). rewrite IZR_Zpower by exact He. unfold g. now rewrite <- bpow_plus. }
    set (A := Rabs (IZR w * IZR v + 255 * IZR b - IZR n * (255 * IZR (2 ^ e)))) in *.
    set (M := IZR (scaled_reach w b)) in *. set (Q := IZR (2 ^ e)) in *.
    assert (O' : (A * 2 ^ 48 + 255 * M) * (g / 255 / 2 ^ 48) < 255 * Q * 2 ^ 48 * (g / 255 / 2 ^ 48)).
    { apply Rmult_lt_compat_r; [|lra]. apply Rdiv_lt_0_compat; lra. }
    replace ((A * 2 ^ 48 + 255 * M) * (g / 255 / 2 ^ 48)) with (A * (g / 255) + M * g / 2 ^ 48) in O' by field.
    replace (255 * Q * 2 ^ 48 * (g / 255 / 2 ^ 48)) with (Q * g) in O' by field. lra. }
  assert (Up : eta < a).
  { apply Rabs_lt_inv in D. assert (X : (2 ^ 23 + 1) * bpow radix2 (e - 149) <= IZR n * bpow radix2 (e - 149)).
    { apply Rmult_le_compat_r; [lra|]. rewrite <- (two_pow 23 : IZR (2 ^ 23) = _). change 1 with (IZR 1). rewrite <- plus_IZR. apply IZR_le. lia. }
    assert (Y : g <= bpow radix2 (e - 149)) by (apply bpow_le; lia).
    assert (E : eta = 2 ^ 23 * g).
    { rewrite eta_bpow. unfold g. rewrite <- (two_pow 23 : bpow radix2 23 = _). now rewrite <- bpow_plus. }
    assert (2 ^ 23 * g <= 2 ^ 23 * bpow radix2 (e - 149)) by (apply Rmult_le_compat_l; lra). lra. }
  destruct Ra as [->|[_ Ra]].
  2:{ exfalso. unfold Rabs in Ra. generalize eta_pos. destruct Rcase_abs; lra. }
  rewrite Es. rewrite (only_one a n (e - 149) (Hb a eq_refl) Hn D). split; [reflexivity|]. apply Rmult_lt_0_compat; lra.
Qed.
