(** * Rounding to nearest does what Statement.v says of an operation

    - [nearest_rounds]: round to nearest, any ties, in binary32 or any format with more digits and
      exponents, is an instance of [rounds];
    - [converted_rounds]: so is an operation in a format of 50 digits or more (binary64, say) whose
      result is then converted to binary32: both roundings together stay within one;
    - [flushed_rounds]: so it is if results below 2^-126 are replaced by 0;
    - [nearest_shifts], [quotient_shifts]: a product with a power of two, or a quotient by one, is
      exact, but for underflow; [zero_added]: adding an exact 0 does not round.

    Rests on Flocq. Stands behind the assumption [any-order-binary32]: these are runtimes that meet
    it. Reading a subnormal operand as 0 is [reads]; nothing has to be shown for it. The operations
    of IEEE 754 are in Ieee.v. *)

From Coq Require Import Reals Lra Lia ZArith.
From Flocq Require Import Core Relative.
From Lastbit Require Import Statement binary32.Terms binary32.Folded.
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

(** Relatively by [u], or by [eta / 2^24] at most, and never by both. *)
Lemma nearest_parts t : exists e d, Rabs e <= u /\ Rabs d <= u * eta /\ e * d = 0 /\
  nearest emin prec ties t - t = e * t + d.
Proof.
  destruct (error_N_FLT radix2 emin prec ltac:(lia) ties t) as (e & d & He & Hd & P & E).
  exists e, d. rewrite u_bpow, eta_bpow. change (/ 2) with (bpow radix2 (-1)) in *.
  rewrite <- bpow_plus in *.
  split; [apply Rle_trans with (1 := He), bpow_le; lia|].
  split; [apply Rle_trans with (1 := Hd), bpow_le; lia|]. split; [exact P|].
  unfold nearest. rewrite E. ring.
Qed.

Lemma nearest_error t : Rabs (nearest emin prec ties t - t) <= u * Rabs t + eta.
Proof.
  destruct (nearest_parts t) as (e & d & He & Hd & _ & ->).
  apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_mult.
  apply Rplus_le_compat; [now apply Rmult_le_compat_r; [apply Rabs_pos|]|].
  apply Rle_trans with (1 := Hd). assert (U : u <= 1) by (unfold u; lra). generalize eta_pos. nra.
Qed.

(** Below [eta] the error is smaller than [eta] by itself. *)
Lemma tiny_error t : Rabs t < eta -> Rabs (nearest emin prec ties t - t) <= eta.
Proof.
  intros Ht. assert (P := Rabs_pos t). assert (U : u <= 1) by (unfold u; lra). assert (U0 := u_pos).
  destruct (nearest_parts t) as (e & d & He & Hd & Z & ->).
  apply Rmult_integral in Z. destruct Z as [->| ->].
  - rewrite Rmult_0_l, Rplus_0_l. nra.
  - rewrite Rplus_0_r, Rabs_mult. generalize (Rabs_pos e). nra.
Qed.

(** From [eta] on it is smaller than [u |t|] by itself. *)
Lemma normal_error t : eta <= Rabs t -> Rabs (nearest emin prec ties t - t) <= u * Rabs t.
Proof.
  intros Ht. assert (U0 := u_pos). destruct (nearest_parts t) as (e & d & He & Hd & Z & ->).
  apply Rmult_integral in Z. destruct Z as [->| ->].
  - rewrite Rmult_0_l, Rplus_0_l. apply Rle_trans with (1 := Hd).
    now apply Rmult_le_compat_l; [lra|].
  - rewrite Rplus_0_r, Rabs_mult. apply Rmult_le_compat_r; [apply Rabs_pos|exact He].
Qed.

Lemma nearest_0 : nearest emin prec ties 0 = 0.
Proof. apply round_0. typeclasses eauto. Qed.

(* map: IEEE 754 binary32 to nearest is such an arithmetic *)
Theorem nearest_rounds t : rounds t (Finite (nearest emin prec ties t)).
Proof.
  intros _. eexists. split; [reflexivity|]. destruct (Rle_or_lt eta (Rabs t)) as [H|H].
  - left. now apply normal_error.
  - destruct (Req_dec t 0) as [->|N].
    + left. rewrite nearest_0, Rminus_0_r, Rabs_R0. lra.
    + right. split; [split; [now apply Rabs_pos_lt|exact H]|now apply tiny_error].
Qed.

(** Flush to zero, after the rounding. *)
Definition flushed (t : R) : R :=
  let r := nearest emin prec ties t in if Rlt_dec (Rabs r) eta then 0 else r.

Lemma flushed_normal t : eta <= Rabs t -> flushed t = nearest emin prec ties t.
Proof.
  intros H. unfold flushed. destruct Rlt_dec as [F|_]; [|reflexivity]. apply Rlt_not_le in F.
  elim F. rewrite eta_bpow in *.
  apply abs_round_ge_generic; [typeclasses eauto|typeclasses eauto|apply bpow_format; lia|exact H].
Qed.

Lemma flushed_tiny t : Rabs t < eta -> Rabs (flushed t - t) <= eta.
Proof.
  intros H. unfold flushed. destruct Rlt_dec as [_|_]; [|now apply tiny_error].
  rewrite Rminus_0_l, Rabs_Ropp. lra.
Qed.

Lemma flushed_0 : flushed 0 = 0.
Proof. unfold flushed. rewrite nearest_0. now destruct Rlt_dec. Qed.

(* map: so is flush-to-zero *)
Theorem flushed_rounds t : rounds t (Finite (flushed t)).
Proof.
  intros _. eexists. split; [reflexivity|]. destruct (Rle_or_lt eta (Rabs t)) as [H|H].
  - left. rewrite flushed_normal by exact H. now apply normal_error.
  - destruct (Req_dec t 0) as [->|N].
    + left. rewrite flushed_0, Rminus_0_r, Rabs_R0. lra.
    + right. split; [split; [now apply Rabs_pos_lt|exact H]|now apply flushed_tiny].
Qed.

(** A product with a power of two: a number of the format, or below [eta]. *)
Lemma power_format w x : (emin + prec <= -125)%Z -> power_of_two w -> format emin prec x ->
  eta <= Rabs (w * x) ->
  format emin prec (w * x).
Proof.
  intros Hep [k Hk] Hx L. assert (Fx : format emin prec (bpow radix2 k * x)).
  { destruct (Req_dec x 0) as [->|Nx]; [rewrite Rmult_0_r; apply generic_format_0|].
    unfold format in *. set (fexp := FLT_exp emin prec) in *.
    rewrite (Hx : x = F2R (Float radix2 (Ztrunc (scaled_mantissa radix2 fexp x)) (cexp radix2 fexp
      x))).
    set (m := Ztrunc _). set (e := cexp _ _ x).
    assert (E : bpow radix2 k * F2R (Float radix2 m e) = F2R (Float radix2 m (e + k))).
    { unfold F2R. cbn [Fnum Fexp]. rewrite bpow_plus. ring. }
    rewrite E. apply generic_format_F2R. intros Nm. rewrite <- E. unfold e, m.
    assert (Xe : F2R (Float radix2 (Ztrunc (scaled_mantissa radix2 fexp x)) (cexp radix2 fexp x)) =
      x) by now symmetry.
    rewrite Xe. unfold cexp. rewrite Rmult_comm, mag_mult_bpow by exact Nx.
    assert (M : (-126 < mag radix2 x + k)%Z).
    { rewrite <- (mag_mult_bpow radix2 x k Nx). apply (mag_gt_bpow radix2 (x * bpow radix2 k)
        (-126)).
      rewrite <- eta_bpow. rewrite Rabs_mult, (Rabs_pos_eq (bpow radix2 k)) by apply bpow_ge_0.
      rewrite bpow_powerRZ. change (IZR radix2) with 2. rewrite <- Hk, <- Rabs_mult, Rmult_comm.
      exact L. }
    unfold fexp, FLT_exp. lia. }
  assert (S : w = bpow radix2 k \/ w = - bpow radix2 k).
  { rewrite bpow_powerRZ. change (IZR radix2) with 2. unfold Rabs in Hk. destruct Rcase_abs in Hk;
      lra. }
  destruct S as [->| ->]; [exact Fx|]. rewrite Ropp_mult_distr_l_reverse.
  now apply generic_format_opp.
Qed.

(* map: a product with a power of two is exact, but for underflow *)
Theorem nearest_shifts w x : (emin + prec <= -125)%Z -> power_of_two w -> format emin prec x ->
  shifts (w * x) (Finite (nearest emin prec ties (w * x))) /\
    shifts (w * x) (Finite (flushed (w * x))).
Proof.
  intros Hep Pw Hx. destruct (Rle_or_lt eta (Rabs (w * x))) as [L|L].
  - assert (E : nearest emin prec ties (w * x) = w * x).
    { apply round_generic; [typeclasses eauto|now apply power_format]. }
    rewrite flushed_normal, E by exact L. split; apply shifts_exact.
  - destruct (Req_dec (w * x) 0) as [->|N]; [rewrite nearest_0, flushed_0; split;
      apply shifts_exact|].
    assert (P := Rabs_pos_lt _ N). split; intros _; eexists; (split; [reflexivity|]); right;
      (split; [now split|]); [now apply tiny_error|now apply flushed_tiny].
Qed.

Theorem quotient_shifts w x : (emin + prec <= -125)%Z -> power_of_two w -> format emin prec x ->
  shifts (x / w) (Finite (nearest emin prec ties (x / w))) /\
    shifts (x / w) (Finite (flushed (x / w))).
Proof.
  intros Hep Pw Hx. replace (x / w) with (/ w * x) by (unfold Rdiv; ring).
  apply nearest_shifts; [exact Hep|now apply power_inverse|exact Hx].
Qed.

(** Adding an exact 0 to a number of the format does not round, whatever the rounding mode. *)
Theorem zero_added x : format emin prec x -> nearest emin prec ties (x + 0) = x.
Proof. intros H. rewrite Rplus_0_r. apply round_generic; [typeclasses eauto|exact H]. Qed.

End Format.

(** An operation in a wider format whose result is then converted to binary32 is one operation: the
    error of round to nearest is at most [u / (1 + u)] of the exact result, which leaves room. *)
(* map: so is a wider format that is converted back *)
Theorem converted_rounds emin prec ties ties' t : (50 <= prec)%Z -> (emin <= -149)%Z ->
  (emin + prec <= -125)%Z ->
  rounds t (Finite (nearest (-149) 24 ties' (nearest emin prec ties t))).
Proof.
  intros Hp He Hep _. eexists. split; [reflexivity|]. assert (P24 : Prec_gt_0 24) by reflexivity.
  assert (Pp : Prec_gt_0 prec) by (red; lia). set (s := nearest emin prec ties t).
  assert (Tiny : forall e p x, (e <= -149)%Z -> (24 <= p)%Z -> forall ch, Rabs x <= eta ->
    Rabs (nearest e p ch x - x) <= / 2 ^ 149).
  { intros e p x Hle Hlp ch Hx. destruct (error_N_FLT radix2 e p ltac:(lia) ch x) as (d & g & D & G
      & _ & E).
    unfold nearest. rewrite E. replace (x * (1 + d) + g - x) with (d * x + g) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _).
    rewrite Rabs_mult. assert (Rabs d <= bpow radix2 (-24)).
    { apply Rle_trans with (1 := D). change (/ 2) with (bpow radix2 (-1)). rewrite <- bpow_plus.
        apply bpow_le. lia. }
    assert (Rabs g <= bpow radix2 (-150)).
    { apply Rle_trans with (1 := G). change (/ 2) with (bpow radix2 (-1)). rewrite <- bpow_plus.
        apply bpow_le. lia. }
    assert (Rabs d * Rabs x <= bpow radix2 (-24) * bpow radix2 (-126)).
    { rewrite eta_bpow in Hx. apply Rmult_le_compat; auto using Rabs_pos. }
    rewrite <- bpow_plus in *. apply Rle_trans with (bpow radix2 (-150) + bpow radix2 (-150));
      [apply Rplus_le_compat; assumption|].
    simpl. lra. }
  destruct (Rle_or_lt eta (Rabs t)) as [L|L].
  - left. rewrite eta_bpow in L. assert (Ls : bpow radix2 (-126) <= Rabs s).
    { unfold s, nearest. apply abs_round_ge_generic;
        [typeclasses eauto|typeclasses eauto|apply bpow_format; lia|exact L]. }
    destruct (relative_error_N_FLT_ex radix2 emin prec Pp ties t) as (e1 & E1 & D1).
    { apply Rle_trans with (2 := L). apply bpow_le. lia. }
    destruct (relative_error_N_FLX'_ex radix2 24 P24 ties' s) as (e2 & E2 & D2).
    assert (R2 : nearest (-149) 24 ties' s = s * (1 + e2)).
    { unfold nearest. rewrite round_FLT_FLX; [exact D2|exact Ls]. }
    rewrite R2. change (s = t * (1 + e1)) in D1. rewrite D1.
    assert (H1 : Rabs e1 <= / 2 ^ 50).
    { apply Rle_trans with (1 := E1). replace (/ 2 ^ 50) with (bpow radix2 (-50)) by (simpl; lra).
      change (/ 2) with (bpow radix2 (-1)). rewrite <- bpow_plus. apply bpow_le. lia. }
    assert (H2 : Rabs e2 <= / 16777217).
    { apply Rle_trans with (1 := E2). replace (u_ro radix2 24) with (/ 16777216) by (unfold u_ro;
        simpl; lra).
      right. field. }
    replace (t * (1 + e1) * (1 + e2) - t) with (t * (e1 * (1 + e2) + e2)) by ring.
    assert (A : Rabs (1 + e2) <= 2) by (unfold Rabs in *; repeat destruct Rcase_abs; lra).
    rewrite Rabs_mult, Rmult_comm. apply Rmult_le_compat_r; [apply Rabs_pos|].
    apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_mult.
    assert (Rabs e1 * Rabs (1 + e2) <= / 2 ^ 50 * 2) by (apply Rmult_le_compat;
      auto using Rabs_pos).
    unfold u. lra.
  - destruct (Req_dec t 0) as [Z|N].
    { left. assert (s = 0) as -> by (unfold s; rewrite Z; now apply nearest_0).
      assert (Z0 : nearest (-149) 24 ties' 0 = 0) by now apply nearest_0.
      rewrite Z, Z0, Rminus_0_r, Rabs_R0. lra. }
    right. split; [split; [now apply Rabs_pos_lt|exact L]|].
    assert (Ls : Rabs s <= eta).
    { rewrite eta_bpow in *. apply abs_round_le_generic;
        [typeclasses eauto|typeclasses eauto|apply bpow_format; lia|lra]. }
    assert (T1 := Tiny emin prec t ltac:(lia) ltac:(lia) ties ltac:(lra)). fold s in T1.
    assert (T2 := Tiny (-149)%Z 24%Z s ltac:(lia) ltac:(lia) ties' Ls).
    replace (nearest (-149) 24 ties' s - t) with ((nearest (-149) 24 ties' s - s) +
      (s - t)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _). unfold eta. lra.
Qed.
