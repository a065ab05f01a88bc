(** * One tap and a bias that let no last bit through

    A unit that adds [w * v / 255 + b] for a byte [v], by any allowed arithmetic, and stores the
    result in binary32. Weights here are integers in units of 2^-149, which every binary32 number
    is.

    - [tap_error]: every evaluation of the sum is within [reach] of its exact value;
    - [absorbs]: decides, byte by byte, that each pair [2k], [2k + 1] leaves one number, [remains];
    - [absorbed]: then every evaluation that is a binary32 number is [remains w b (v / 2)].

    Rests on Sums.v, OnlyNumber.v, File.v. Stands behind [absorb.bytes] of byte_tables.py, which
    encloses every operation in intervals where this takes one bound for all of them. *)

From Coq Require Import Reals Lra Lia ZArith List Permutation.
From Flocq Require Import Core.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Folds
  binary32.Additions.
From Lastbit Require Import binary32.Sums binary32.Rounding onnx.File.
From Lastbit Require Export zero.OnlyNumber.
Import ListNotations.
Open Scope R_scope.

(** ** The sum *)

(** The tap of a byte, and what is 0 beside it: weights that are 0. *)
Definition tap_of (w x : R) : term := ([Times w; Over 255], x).
Definition idle (t : term) : Prop := exists x, t = tap_of 0 x /\ Rabs x <= 255.

Lemma exact_tap w x : exact (tap_of w x) = w * (x / 255).
Proof. unfold exact, constant. cbn. field. Qed.

Lemma idle_vanishes z : Forall idle z -> kept z = [].
Proof.
  induction 1 as [|t z (x & -> & _) _ IH]; [reflexivity|]. unfold kept. cbn [filter].
  unfold magnitude. rewrite exact_tap, Rmult_0_l, Rabs_R0.
  now rewrite (proj2 (nonzero_0 0) eq_refl).
Qed.

Lemma tap_room w : room [Times w; Over 255] <= Rabs w + 1.
Proof.
  assert (P := Rabs_pos w). unfold room. cbn [map fold_right number].
  rewrite (Rabs_pos_eq (/ 255)) by lra.
  rewrite (Rmax_left 1 (/ 255)) by lra.
  assert (Rmax 1 (Rabs w) <= Rabs w + 1) by (apply Rmax_lub; lra). lra.
Qed.

Lemma tap_limited w x : w = 0 \/ / 2 ^ 100 <= Rabs w -> Rabs w <= 2 ^ 100 ->
  limited 3 2 (tap_of w x).
Proof.
  intros H L. assert (P := Rabs_pos w).
  assert (I : Rabs (/ 255) = / 255) by (apply Rabs_pos_eq; lra).
  split; [|split]; cbn [tap_of fst].
  - right. right. split; [|split; [|split]].
    + intros [E|[E|[]]]; [discriminate|]. injection E. lra.
    + unfold least. cbn [map fold_right]. unfold least_of. cbn [number]. rewrite I.
      destruct (Req_EM_T (/ 255) 0) as [E|_]; [lra|]. rewrite (Rmin_right 1 (/ 255)) by lra.
      assert (A : / 2 ^ 100 <= (if Req_EM_T w 0 then 1 else Rmin 1 (Rabs w))).
      { destruct (Req_EM_T w 0) as [_|N]; [lra|]. apply Rmin_glb; [lra|]. destruct H as [H|H];
          [contradiction|exact H]. }
      apply Rle_trans with (/ 2 ^ 100 * (/ 255 * 1)); [lra|]. apply Rmult_le_compat_r; lra.
    + apply Rle_trans with (1 := tap_room w). lra.
    + simpl. lra.
  - unfold cost. cbn. destruct (scales w), (scales 255); lia.
  - cbn. lia.
Qed.

(** The bound of all roundings: of the constant, of the product, of the sum. *)
Definition reach (w b : R) : R := u * (6 * Rabs w + Rabs b) + 6 * u * u * Rabs b +
  10240 * eta * (Rabs w + 1).

(** [z] are the terms that are 0. *)
Lemma tap_error w b v z l y : (0 <= v <= 255)%Z -> Forall idle z -> INR (length z) <= 2 ^ 18 ->
  Permutation l (z ++ [tap_of w (IZR v); ([], b)]) -> sum l y ->
  / 2 ^ 100 <= Rabs w <= 2 ^ 100 -> Rabs b <= 2 ^ 100 ->
  exists a p, y = Finite p /\ reads a p /\ Rabs (a - (w * (IZR v / 255) + b)) <= reach w b.
Proof.
  intros Hv Hz Nz P Hy Hw Hb. assert (Hu := u_pos). assert (He := eta_pos).
  set (m := [tap_of w (IZR v); ([], b)]) in *.
  assert (V0 : 0 <= IZR v <= 255) by (destruct Hv as [V0 V1]; apply IZR_le in V0, V1; lra).
  set (W := Rabs w) in *. set (B := Rabs b) in *. assert (HB : 0 <= B) by apply Rabs_pos.
  assert (Sm : spread m <= 256 * (W + 1) + B + 1).
  { unfold spread, m. cbn [map total fold_right]. unfold spread_of,
      tap_of. cbn [fst snd]. rewrite (Rabs_pos_eq (IZR v)) by lra. fold B.
    assert (T := tap_room w). fold W in T. assert (T1 := room_1 [Times w; Over 255]).
    replace (room []) with 1 by reflexivity.
    assert (room [Times w; Over 255] * (IZR v + 1) <= (W + 1) * 256) by (apply Rmult_le_compat;
      lra). lra. }
  assert (R : in_range 3 2 (z ++ m)).
  { split; [|split].
    - apply Forall_app. split.
      + apply Forall_impl with (2 := Hz). intros t (x & -> & _).
        apply tap_limited; [now left|rewrite Rabs_R0; lra].
      + constructor; [apply tap_limited; [right|]; apply Hw|]. constructor; [|constructor].
        split; [now left|]. cbn. lia.
    - rewrite spread_app. assert (Sz : spread z <= INR (length z) * 256).
      { unfold spread. clear -Hz. induction Hz as [|t z (x & ->
          & Hx) _ IH]; [simpl; lra|]. cbn [map length]. rewrite total_cons, S_INR.
        unfold spread_of at 1, tap_of. cbn [fst snd]. assert (T := tap_room 0).
        rewrite Rabs_R0 in T. assert (T1 := room_1 [Times 0; Over 255]).
        assert (room [Times 0; Over 255]
          * (Rabs x + 1) <= (0 + 1) * 256) by (apply Rmult_le_compat; try lra;
              generalize (Rabs_pos x); lra). lra. }
      unfold largest. lra.
    - rewrite length_app, !plus_INR. simpl (INR 3). simpl (INR 2). cbn [length m]. simpl (INR 2).
      lra. }
  assert (Em : exact_sum m = w * (IZR v / 255) + b).
  { unfold exact_sum, m. cbn [map total fold_right]. rewrite exact_tap, exact_bias. ring. }
  assert (Wv : Rabs (w * (IZR v / 255)) <= W).
  { rewrite Rabs_mult. fold W. rewrite <- (Rmult_1_r W) at 2. apply Rmult_le_compat_l;
      [lra|]. rewrite Rabs_pos_eq; lra. }
  assert (Zm : size m <= W + B).
  { unfold size, m, magnitude. cbn [map total fold_right]. rewrite exact_tap,
      exact_bias. fold B. lra. }
  destruct (none_left 3 2 (size m) (size m) z m (idle_vanishes z Hz)) as (E1 & E2 & E3).
  assert (Z0 := size_pos m). assert (X0 := exact_sum_size m).
  assert (Hy' : sum (z ++ m) y).
  { now apply sum_reordered with l. }
  destruct (sum_error _ _ Hy' 3%nat 2%nat (size m) (size m) R) as (a & p & -> & Ra & Ea).
  { apply (bounded_parts _ (size m)); [rewrite E2; exact X0|rewrite E3; lra]. }
  { rewrite E2, E3. lra. }
  exists a, p. split; [reflexivity|]. split; [exact Ra|]. rewrite E1, E2, Em in Ea.
  apply Rle_trans with (1 := Ea).
  unfold error. assert (Lm : (length (live m) <= 2)%nat) by exact (kept_length m).
  assert (F0 := first_order_pos 2%nat _ Z0 (size m) m Z0).
  apply Rle_trans with ((1 + u) ^ 4 * first_order 2 (size m) (size m) m).
  { apply amplify; [lia|exact F0]. }
  assert (Fo : first_order 2 (size m) (size m) m <= u * (4 * W + B) +
    eta * (36 * (256 * (W + 1) + B + 1))).
  { unfold first_order. apply Rplus_le_compat; apply Rmult_le_compat_l; try lra.
    - assert (Wo : worst (size m) (size m) (live m) <= size m).
      { assert (K := worst_simple (size m) (size m) (live m) (live_nonneg m)). rewrite total_live
          in K. specialize (K (Rle_refl _)).
        assert (I : INR (Nat.pred (length (live m))) <= 1) by (change 1 with (INR 1); apply le_INR;
          lia).
        apply Rle_trans with (1 := K). rewrite <- (Rmult_1_l (size m)) at 2.
        now apply Rmult_le_compat_r. }
      assert (Ch : total (map charged m) <= 3 * W).
      { unfold m. cbn [map total fold_right]. unfold charged,
          cost at 2. cbn [map list_sum fold_right fst]. simpl (INR 0).
        unfold magnitude at 1. rewrite exact_tap.
        assert (C : INR (cost (fst (tap_of w (IZR v)))) <= 3).
        { replace 3 with (INR 3) by (simpl; lra). apply le_INR. unfold cost. cbn. destruct (scales
            w), (scales 255); lia. }
        assert (INR (cost (fst (tap_of w (IZR v)))) * Rabs (w * (IZR v / 255)) <= 3 * W).
        { apply Rmult_le_compat; [apply pos_INR|apply Rabs_pos|exact C|exact Wv]. }
        lra. }
      lra.
    - assert (G := proj2 (flushed_range 2 (kept m))). simpl (INR 3) in G.
      assert (S1 := spread_kept m). lra. }
  apply Rle_trans with ((1 + 5 * u) * (u * (4 * W + B) + eta * (36 * (256 * (W + 1) + B + 1)))).
  { apply Rmult_le_compat; [apply pow_le; lra|exact F0|unfold u; lra|exact Fo]. }
  assert (EW : 0 <= eta * W) by (apply Rmult_le_pos; lra).
  assert (EB : 0 <= eta * B) by (apply Rmult_le_pos; lra).
  assert (EB2 : eta * B <= / 1000 * u * u * B) by (apply Rmult_le_compat_r;
    [lra|unfold eta, u; lra]).
  unfold reach. fold W B. unfold u in *. lra.
Qed.

(** ** The decision, byte by byte *)

(** [reach], in units of 2^-149, times 2^48; rounded up. *)
Definition scaled_reach (w b : Z) : Z := 2 ^ 24 * (6 * Z.abs w + Z.abs b) + 6 * Z.abs b + Z.abs w +
  2 ^ 85.

(** The exponent of the spacing, and the multiple of it that is left of the pair [2 k], [2 k +
    1]. *)
Definition spacing (b : Z) : Z := Z.log2 b - 23.
Definition multiple (w b k : Z) : Z :=
  let s := (255 * 2 ^ spacing b)%Z in ((w * (2 * k) + 255 * b + s / 2) / s)%Z.
Definition remains (w b k : Z) : Z := multiple w b k * 2 ^ spacing b.

(** Every evaluation for the byte [v] is nearer to [remains] than the spacing, and the spacing is
    right. *)
Definition one_left (w b v : Z) : bool :=
  let n := multiple w b (v / 2) in let s := (255 * 2 ^ spacing b)%Z in
  ((2 ^ 23 <? n) &&
    (Z.abs (w * v + 255 * b - n * s) * 2 ^ 48 + 255 * scaled_reach w b <? s * 2 ^ 48))%Z%bool.

Definition all_bytes : list Z := map Z.of_nat (seq 0 256).
Definition absorbs (w b : Z) : bool :=
  ((0 <=? spacing b) && (2 ^ 50 <=? Z.abs w) && (Z.abs w <? 2 ^ 200) &&
    (Z.abs b <? 2 ^ 200))%Z%bool &&
  forallb (one_left w b) all_bytes.

Lemma ulps_abs z : Rabs (ulps z) = ulps (Z.abs z).
Proof.
  unfold ulps. rewrite Rabs_mult, abs_IZR, (Rabs_pos_eq (bpow _ _)); [reflexivity|apply bpow_ge_0].
Qed.

Lemma scaled_reach_is w b : reach (ulps w) (ulps b) <= ulps (scaled_reach w b) / 2 ^ 48.
Proof.
  unfold reach, scaled_reach. rewrite !ulps_abs. unfold ulps.
  rewrite !plus_IZR, !mult_IZR, !plus_IZR, !mult_IZR. set (W := IZR (Z.abs w)).
  set (B := IZR (Z.abs b)). set (g := bpow radix2 (-149)).
  assert (HW : 0 <= W) by (apply IZR_le; lia). assert (G : 0 < g) by apply bpow_gt_0.
  assert (E : eta = 2 ^ 23 * g).
  { rewrite eta_bpow. unfold g. rewrite <- (two_pow 23 : bpow radix2 23 = _).
    now rewrite <- bpow_plus. }
  assert (WG : 0 <= W * g) by (apply Rmult_le_pos; lra).
  assert (H1 : 10240 * eta * (W * g) <= / 2 ^ 48 * (W * g)) by (apply Rmult_le_compat_r;
    [exact WG|unfold eta; lra]).
  replace (10240 * eta * (W * g + 1)) with (10240 * eta * (W * g) + 10240 * eta) by ring.
  rewrite E in *.
  rewrite (two_pow 24 : IZR (2 ^ 24) = _), (two_pow 85 : IZR (2 ^ 85) = _). unfold u in *. lra.
Qed.

(** One tap of a byte, and [y] is stored in binary32. *)
(* map: one tap and a bias leave one binary32 number for each pair of bytes *)
Theorem absorbed w b v z l y : absorbs w b = true -> (0 <= v <= 255)%Z -> Forall idle z ->
  INR (length z) <= 2 ^ 18 ->
  Permutation l (z ++ [tap_of (ulps w) (IZR v); ([], ulps b)]) -> sum l y ->
  (forall p, y = Finite p -> binary32_number p) ->
  y = Finite (ulps (remains w b (v / 2))) /\ 0 < ulps (remains w b (v / 2)).
Proof.
  intros Ha Hv Hz Nz P Hy Hb. unfold absorbs in Ha.
  rewrite !Bool.andb_true_iff, !Z.leb_le, !Z.ltb_lt, forallb_forall in Ha.
  destruct Ha as [[[[He Hw0] Hw] HB] Ha].
  assert (O : one_left w b v = true).
  { apply Ha. unfold all_bytes. apply in_map_iff. exists (Z.to_nat v). split; [lia|]. apply in_seq.
    lia. }
  unfold one_left in O. rewrite Bool.andb_true_iff, !Z.ltb_lt in O. unfold remains.
  set (n := multiple w b (v / 2)) in *. set (e := spacing b) in *. destruct O as [Hn O].
  cbv zeta in O. set (g := bpow radix2 (-149)). assert (G : 0 < g) by apply bpow_gt_0.
  assert (Es : ulps (n * 2 ^ e) = IZR n * bpow radix2 (e - 149)).
  { unfold ulps. rewrite mult_IZR, Rmult_assoc. f_equal. change 2%Z with (radix_val radix2).
    rewrite IZR_Zpower by exact He. now rewrite <- bpow_plus. }
  assert (Sp : 0 < bpow radix2 (e - 149)) by apply bpow_gt_0.
  assert (Hn' : 2 ^ 23 < IZR n)
    by (rewrite <- (two_pow 23 : IZR (2 ^ 23) = _); apply IZR_lt; exact Hn).
  assert (Big : forall t, (Z.abs t < 2 ^ 200)%Z -> Rabs (ulps t) <= 2 ^ 51).
  { intros t Ht. rewrite ulps_abs. unfold ulps. apply Rle_trans with (IZR (2 ^ 200) * g).
    - apply Rmult_le_compat_r; [lra|]. apply IZR_le. lia.
    - unfold g. change (IZR (2 ^ 200)) with (bpow radix2 200). rewrite <- bpow_plus. simpl. lra. }
  destruct (tap_error (ulps w) (ulps b) v z l y Hv Hz Nz P Hy) as (a & p & -> & Ra & Ea).
  { assert (A := Big w Hw). split; [|lra]. rewrite ulps_abs. unfold ulps. fold g.
    apply Rle_trans with (IZR (2 ^ 50) * g); [|apply Rmult_le_compat_r; [lra|now apply IZR_le]].
    unfold g. change (IZR (2 ^ 50)) with (bpow radix2 50). rewrite <- bpow_plus. simpl. lra. }
  { assert (B := Big b HB). lra. }
  assert (D : Rabs (a - IZR n * bpow radix2 (e - 149)) < bpow radix2 (e - 149)).
  { apply Rle_lt_trans
      with (Rabs (a - (ulps w * (IZR v / 255) + ulps b)) +
        Rabs (ulps w * (IZR v / 255) + ulps b - ulps (n * 2 ^ e))).
    { rewrite <- Es. replace (a - ulps (n * 2 ^ e)) with
        ((a - (ulps w * (IZR v / 255) + ulps b)) +
          (ulps w * (IZR v / 255) + ulps b - ulps (n * 2 ^ e))) by ring.
      apply Rabs_triang. }
    apply IZR_lt in O. rewrite plus_IZR, !mult_IZR, abs_IZR, minus_IZR, plus_IZR, !mult_IZR in O.
    rewrite (two_pow 48 : IZR (2 ^ 48) = _) in O.
    assert (R1 : reach (ulps w) (ulps b) <= IZR (scaled_reach w b) * g / 2 ^ 48)
      by exact (scaled_reach_is w b).
    replace (ulps w * (IZR v / 255) + ulps b - ulps (n * 2 ^ e)) with
      ((IZR w * IZR v + 255 * IZR b - IZR n * (255 * IZR (2 ^ e))) * (g / 255))
      by (unfold ulps; fold g; rewrite mult_IZR; field).
    rewrite Rabs_mult, (Rabs_pos_eq (g / 255)) by lra.
    replace (bpow radix2 (e - 149)) with (IZR (2 ^ e) * g).
    2:{ change 2%Z with (radix_val radix2). rewrite IZR_Zpower
      by exact He. unfold g. now rewrite <- bpow_plus. }
    set (A := Rabs (IZR w * IZR v + 255 * IZR b - IZR n * (255 * IZR (2 ^ e)))) in *.
    set (M := IZR (scaled_reach w b)) in *. set (Q := IZR (2 ^ e)) in *.
    assert (O' : (A * 2 ^ 48 + 255 * M) * (g / 255 / 2 ^ 48) <
      255 * Q * 2 ^ 48 * (g / 255 / 2 ^ 48)).
    { apply Rmult_lt_compat_r; [|lra]. apply Rdiv_lt_0_compat; lra. }
    replace ((A * 2 ^ 48 + 255 * M) * (g / 255 / 2 ^ 48)) with (A * (g / 255) + M * g / 2 ^ 48)
      in O' by field.
    replace (255 * Q * 2 ^ 48 * (g / 255 / 2 ^ 48)) with (Q * g) in O' by field. lra. }
  assert (Up : eta < a).
  { apply Rabs_lt_inv in D.
    assert (X : (2 ^ 23 + 1) * bpow radix2 (e - 149) <= IZR n * bpow radix2 (e - 149)).
    { apply Rmult_le_compat_r; [lra|]. rewrite <- (two_pow 23 : IZR (2 ^ 23) = _).
      change 1 with (IZR 1). rewrite <- plus_IZR. apply IZR_le. lia. }
    assert (Y : g <= bpow radix2 (e - 149)) by (apply bpow_le; lia).
    assert (E : eta = 2 ^ 23 * g).
    { rewrite eta_bpow. unfold g. rewrite <- (two_pow 23 : bpow radix2 23 = _).
      now rewrite <- bpow_plus. }
    assert (2 ^ 23 * g <= 2 ^ 23 * bpow radix2 (e - 149)) by (apply Rmult_le_compat_l; lra). lra. }
  destruct Ra as [->|[_ Ra]].
  2:{ exfalso. unfold Rabs in Ra. generalize eta_pos. destruct Rcase_abs; lra. }
  rewrite Es. rewrite (only_one a n (e - 149) (Hb a eq_refl) Hn D). split; [reflexivity|].
  apply Rmult_lt_0_compat; lra.
Qed.
