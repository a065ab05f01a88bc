(** * The checker's roundings of sums

    - [real2 z] is [z / 2^200], a product of two of the checker's numbers;
    - [sum_noise_ok]: the number [noise_of_sum] that Program.v computes, and any larger one,
      satisfies [sum_noise] of Units.v;
    - [power_of_2_scales]: what the checker takes for a power of two is one, so that products with
      it are exact.

    Rests on Numbers.v, Layers.v and Units.v. Stands behind [Layer.rounding] and [underflow]; for
    all units: Roundings.v. *)

From Flocq.Core Require Import Raux Zaux.
From Coq Require Import Reals Lra Lia ZArith List Bool Permutation Sorting.Sorted.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Layers.
From Lastbit Require Import operations.Units.
From Lastbit Require Import checker.Program checker.Numbers.
Notation real := Numbers.real.
Import ListNotations.
Open Scope R_scope.

Lemma u_is : u = / 16777216. Proof. unfold u. lra. Qed.

(** ** Sums *)

(** A number over [2^200]. *)
Definition real2 (z : Z) : R := IZR z / 2 ^ 100 / 2 ^ 100.

Lemma real2_total l : real2 (zsum l) = total (map real2 l).
Proof.
  induction l as [|x l IH]; [unfold real2; simpl; lra|]. cbn [zsum fold_right map]. fold (zsum l).
  change (total (real2 x :: map real2 l)) with (real2 x + total (map real2 l)). rewrite <- IH.
  unfold real2. rewrite plus_IZR. lra.
Qed.

Lemma real2_nonzero z : nonzero (real2 z) = negb (z =? 0)%Z.
Proof.
  unfold nonzero. destruct (Z.eqb_spec z 0) as [->|N]; destruct Req_EM_T as [E|E]; try reflexivity.
  - elim E. unfold real2. lra.
  - elim N. apply eq_IZR. unfold real2 in E. lra.
Qed.

Lemma filter_real2 l : filter nonzero (map real2 l) =
  map real2 (filter (fun x => negb (x =? 0)%Z) l).
Proof.
  induction l as [|x l IH]; [reflexivity|]. cbn [map filter]. rewrite real2_nonzero, IH.
  now destruct (x =? 0)%Z.
Qed.

Lemma real2_le a b : (a <= b)%Z -> real2 a <= real2 b.
Proof. intros H. apply IZR_le in H. unfold real2. lra. Qed.

Lemma sorted_descending l : descending (map real2 (Sorting.sort l)).
Proof.
  assert (S := Sorting.Sorted_sort l). unfold descending.
  induction S as [|x m S IH H]; [constructor|]. cbn [map]. constructor; [exact IH|].
  destruct H as [|y m H]; constructor. apply real2_le. now apply Z.leb_le.
Qed.

Lemma real2_plus a b : real2 (a + b) = real2 a + real2 b.
Proof. unfold real2. rewrite plus_IZR. lra. Qed.

Lemma real2_min a b : real2 (Z.min a b) = Rmin (real2 a) (real2 b).
Proof.
  destruct (Z.min_spec a b) as [[H ->]|[H ->]].
  - rewrite Rmin_left; [reflexivity|]. apply real2_le. lia.
  - rewrite Rmin_right; [reflexivity|]. now apply real2_le.
Qed.

Lemma real2_one z : real2 (one * z) = real z.
Proof. unfold real2, real. rewrite mult_IZR, one_is. lra. Qed.

Lemma partials_real c s m : partials (real2 c) (real2 s) (map real2 m) = real2 (partials_of c s m).
Proof.
  revert s.
  induction m as [|x [|y m] IH]; intros s; [unfold real2; simpl; lra|unfold real2; simpl; lra|].
  change (partials (real2 c) (real2 s) (map real2 (x :: y :: m))) with
    (Rmin (real2 s + real2 x) (real2 c) + partials (real2 c) (real2 s + real2 x)
      (map real2 (y :: m))).
  change (partials_of c s (x :: y :: m)) with (Z.min (s + x) c + partials_of c (s + x) (y :: m))%Z.
  now rewrite <- !real2_plus, IH, <- real2_min, <- real2_plus.
Qed.

Lemma climb_real c f m : climb (real2 c) (real2 f) (map real2 m) = real2 (climb_of c f m).
Proof.
  destruct m as [|x [|y m]]; [unfold real2; simpl; lra|unfold real2; simpl; lra|].
  change (climb (real2 c) (real2 f) (map real2 (x :: y :: m)))
    with (partials (real2 c) (real2 x) (map real2 (y :: m)) + real2 f).
  change (climb_of c f (x :: y :: m)) with (partials_of c x (y :: m) + f)%Z.
  now rewrite partials_real, real2_plus.
Qed.

Lemma half_up a : IZR a <= 2 * IZR (Z.shiftr (a + 1) 1).
Proof.
  rewrite Z.shiftr_div_pow2 by lia. change (2 ^ 1)%Z with 2%Z. rewrite <- mult_IZR. apply IZR_le.
  generalize (Z.div_mod (a + 1) 2 ltac:(lia)) (Z.mod_pos_bound (a + 1) 2 ltac:(lia)). lia.
Qed.

Lemma sum_noise_ok bs F P W K L S E : sum_fits bs W = true -> (noise_of_sum bs P F <= E)%Z ->
  Forall (fun b => (0 <= b)%Z) bs -> (K <= 3)%nat -> (L <= 2)%nat -> 0 <= S <= 2 ^ 46 ->
  sum_noise (map real2 bs) (real2 F) (real2 P) K L (length bs) S (real E).
Proof.
  unfold sum_fits, noise_of_sum. rewrite !andb_true_iff, !Z.leb_le.
  intros [[Hn _] _] HE Hb HK HL HS.
  set (f := filter (fun x => negb (x =? 0)%Z) bs) in *. set (m := Sorting.sort f) in *.
  assert (Pm : Permutation f m) by apply Sorting.Permuted_sort.
  assert (Lf : (length f <= length bs)%nat).
  { unfold f. clear. induction bs as [|x l IH]; simpl; [lia|].
    destruct (negb (x =? 0)%Z); simpl; lia. }
  assert (Lm : length m = length f) by now apply Permutation_length, Permutation_sym.
  set (n := Z.of_nat (length m)) in *. assert (N : (0 <= n <= most_terms)%Z) by (unfold n; lia).
  unfold most_terms in N, Hn.
  assert (Nr : 0 <= IZR n <= 32768) by (split; apply IZR_le; lia).
  assert (Ni : INR (length m) = IZR n) by apply INR_IZR_INZ.
  assert (Hi : INR (length m + 3) = IZR n + 3) by (rewrite plus_INR, Ni; simpl; ring).
  set (w := Z.min F (zsum m)) in *. set (c := Z.shiftr (zsum m + w + 1) 1) in *.
  exists (map real2 m), (length m + 3)%nat, (real2 c), (real2 w).
  rewrite length_map, Hi, u_is, <- real2_total.
  split; [|split; [|split; [|split; [|split; [|split; [|split; [|split]]]]]]].
  - rewrite filter_real2. now apply Permutation_map.
  - apply sorted_descending.
  - lia.
  - lra.
  - unfold w. rewrite real2_min. apply Rle_refl.
  - generalize (half_up (zsum m + w)). fold c. unfold real2. rewrite plus_IZR. lra.
  - unfold Layers.roundings. rewrite climb_real. set (t := climb_of c w m) in *.
    assert (Kt : / 16777216 * (real2 t + real2 P) / (1 - (IZR n + 3) * / 16777216) <=
      real (ceil_div (up (t + P)) (0xfffffd - n))).
    { apply Rle_trans with (2 := ceil_div_unit (up (t + P)) (0xfffffd -
        n) ltac:(lia)). rewrite minus_IZR.
      replace (/ 16777216 * (real2 t + real2 P) / (1 - (IZR n + 3) * / 16777216)) with
        ((real2 t + real2 P) * / (16777213 - IZR n)) by (field; lra).
      apply Rmult_le_compat_r; [apply Rlt_le, Rinv_0_lt_compat; lra|].
      apply Rle_trans with (2 := up_real _). rewrite <- real2_plus. apply Rle_refl. }
    assert (U : underflow L S <= / 2 ^ 73).
    { unfold underflow. assert (Q : INR (L + 1) <= 3) by (replace 3 with (INR 3) by (simpl; lra);
        apply le_INR; lia).
      assert (Q0 := pos_INR (L + 1)).
      assert (INR (L + 1) * S <= 3 * 2 ^ 46) by (apply Rmult_le_compat; lra). unfold eta. lra. }
    apply real_le in HE. rewrite real_plus in HE.
    assert (Q : real 0x8000000 = / 2 ^ 73) by (unfold real; lra). lra.
  - unfold largest. lra.
  - apply Rle_trans with (INR (length bs + 5)); [apply le_INR; lia|]. rewrite plus_INR, INR_IZR_INZ.
    apply IZR_le in Hn. simpl (INR 5). lra.
Qed.

(** ** Powers of two *)

Lemma one_bit_power p : one_bit p = true -> exists e, IZR (Zpos p) = bpow radix2 e.
Proof.
  induction p as [p IH|p IH|]; intros H; [discriminate| |exists 0%Z; reflexivity].
  destruct (IH H) as [e E]. exists (e + 1)%Z. rewrite bpow_plus, <- E.
  change (bpow radix2 1) with 2. rewrite <- mult_IZR. f_equal. lia.
Qed.

Lemma power_of_2_scales z : power_of_2 z = true -> scales (real z) = true.
Proof.
  intros H. assert (K : exists e, IZR (Z.abs z) = bpow radix2 e).
  { destruct z as [|p|p]; [discriminate| |]; now apply one_bit_power. }
  destruct K as [e E]. apply (power_scales _ (e - 100)). unfold Z.sub.
  rewrite bpow_plus, <- E, <- real_abs. unfold real.
  assert (B : bpow radix2 (- (100)) = / 2 ^ 100) by (simpl; lra). rewrite B. reflexivity.
Qed.
