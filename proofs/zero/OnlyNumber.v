(** * The only binary32 number near a point

    - [only_one]: of binary32 numbers from [2^23 s] on, those within [s] of a multiple of [s] are
      it. So a sum that is known to within [s] is known exactly.

    Rests on Flocq. *)

From Coq Require Import Reals Lra Lia ZArith.
From Flocq Require Import Core.
From Lastbit Require Import binary32.Rounding.
Open Scope R_scope.

(** The binary32 numbers. *)
Definition binary32_number (r : R) : Prop := format (-149) 24 r.

Lemma two_pow n : IZR (2 ^ Z.of_nat n) = 2 ^ n. Proof. now rewrite <- pow_IZR. Qed.

Lemma only_one r n e : binary32_number r -> (2 ^ 23 < n)%Z ->
  Rabs (r - IZR n * bpow radix2 e) < bpow radix2 e -> r = IZR n * bpow radix2 e.
Proof.
  intros F Hn Hr. set (s := bpow radix2 e) in *. assert (Hs : 0 < s) by apply bpow_gt_0.
  assert (P24 : Prec_gt_0 24) by reflexivity.
  apply FLT_format_generic in F; [|exact P24]. destruct F as [[m f] -> Hm _]. cbn [Fnum Fexp] in *.
  unfold F2R in *. cbn [Fnum Fexp] in *.
  assert (N : IZR (2 ^ 23) + 1 <= IZR n) by (rewrite <- plus_IZR; apply IZR_le; lia).
  assert (L : IZR (2 ^ 23) * s < IZR m * bpow radix2 f).
  { apply Rabs_lt_inv in Hr.
    assert ((IZR (2 ^ 23) + 1) * s <= IZR n * s) by (apply Rmult_le_compat_r; lra). lra. }
  assert (M : IZR m <= IZR (2 ^ 24) - 1)
    by (rewrite <- minus_IZR; apply IZR_le; change (radix2 ^ 24)%Z with (2 ^ 24)%Z in Hm; lia).
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
