(** * The checker's roundings

    - [quotient_noise_ok]: [noise_of_quotient] bounds the rounding of a quotient, if its divisor is at least 2^-10;
    - [roundings_ok]: the number [rounding_of] that Program.v computes for a unit, from the
      magnitudes of its operands, satisfies [noise] of Units.v; so does any larger one up to [limit].

    Rests on SumRoundings.v, Annotation.v and Units.v. Stands behind [Layer.rounding], [underflow] and the roundings
    of forward.py. *)

From Coq Require Import Reals Lra Lia ZArith List Bool.
From Lastbit Require Import Statement Totals binary32.Terms binary32.Sums binary32.Layers.
From Lastbit Require Import operations.Units network.Bound.
From Lastbit Require Import checker.Program checker.Numbers checker.Annotation checker.SumRoundings.
Notation real := Numbers.real.
Import ListNotations.
Open Scope R_scope.

(** ** Quotients *)

Lemma quotient_noise_ok X c : (0 <= X)%Z -> real X <= 2 ^ 41 -> / 2 ^ 10 <= Rabs (real c) ->
  quotient_range (real X) (real c) /\ quotient_noise (real X) (real c) <= real (noise_of_quotient X c).
Proof.
  intros H0 HX Hc. assert (X0 := real_pos X H0). set (k := Rabs (real c)) in *.
  assert (K : 0 < k) by lra. assert (I : / k <= 2 ^ 10).
  { replace (2 ^ 10) with (/ / 2 ^ 10) by field. apply Rinv_le_contravar; lra. }
  assert (I0 : 0 < / k) by now apply Rinv_0_lt_compat.
  split.
  - split; fold k; [unfold eta; lra|]. unfold largest.
    assert ((real X + 1) * (/ k + 1) <= (2 ^ 41 + 1) * (2 ^ 10 + 1)) by (apply Rmult_le_compat; lra). lra.
  - assert (Q : real 0x100000 = / 2 ^ 80) by (unfold real; lra).
    assert (B : eta * (3 * real X + 2 / k + 2) <= / 2 ^ 80) by (unfold eta, Rdiv; lra).
    unfold quotient_noise, noise_of_quotient, halves, any_quotient_noise. fold k. rewrite real_plus.
    destruct (power_of_2 c && (Z.abs c <=? limit))%bool eqn:P.
    { apply andb_prop in P. destruct P as [P L]. rewrite (power_of_2_scales _ P). apply Z.leb_le, real_le in L.
      rewrite real_abs in L. fold k in L. unfold limit in L. rewrite real_scale, real_one in L. rewrite real_0.
      destruct Rle_dec as [_|N]; [lra|]. elim N. unfold eta. lra. }
    assert (Cz : (0 < Z.abs c)%Z).
    { apply lt_IZR. rewrite abs_IZR. unfold k, real, Rdiv in K. rewrite Rabs_mult, (Rabs_pos_eq (/ 2 ^ 100)) in K by lra. lra. }
    assert (D := ceil_div_unit (X * one * 0x2000001) (Z.abs c * 0x1000000000000) ltac:(lia)).
    assert (E : real (X * one * 0x2000001) / IZR (Z.abs c * 0x1000000000000) = (2 * u + u * u) * (real X / k)).
    { rewrite u_is. unfold k. rewrite <- real_abs. unfold real. rewrite !mult_IZR, one_is. apply IZR_lt in Cz. field. lra. }
    assert (I2 : 0 <= (2 * u + u * u) * (real X / k)).
    { apply Rmult_le_pos; [unfold u; lra|]. apply Rmult_le_pos; lra. }
    apply Rle_trans with ((2 * u + u * u) * (real X / k) + / 2 ^ 80); [|lra].
    destruct (if Rle_dec k (/ eta) then scales (real c) else false); lra.
Qed.

(** ** All units *)

Section Roundings.
Variables (net : cnet) (d : numbers).
Hypothesis facts : forall k o, nth_error (cunits net) k = Some o -> unit_facts net d k o o.

Notation at_ := (n_row d).

(** The magnitudes that the rows claim. *)
Definition claimed (k : nat) : R := real (mag at_ (key k)).

Lemma claimed_num j : claimed (num j) = real (mag at_ j).
Proof. unfold claimed. now rewrite key_num. Qed.

Lemma mag_pos k : (k < length (cunits net))%nat -> (0 <= mag at_ (key k))%Z.
Proof.
  intros H. apply real_le_inv. rewrite real_0. apply Rle_trans with (2 := magnitude_ok net d facts k H).
  now apply (magnitude_low net d facts).
Qed.

Lemma small_claims k o : (k < length (cunits net))%nat -> unit_facts net d k o o ->
  forall j, In j (reads_of o) -> (0 <= mag at_ j)%Z /\ 0 <= real (mag at_ j) <= 2 ^ 20.
Proof.
  intros Hk F j Hj. assert (L := f_reads _ _ _ _ _ F j Hj).
  assert (P := mag_pos (num j) ltac:(lia)). rewrite key_num in P. split; [exact P|]. split; [now apply real_pos|].
  rewrite <- (key_num j). apply (mag_limit net d facts). lia.
Qed.

Lemma mags_sum js : total (map claimed (map num js)) = real (zsum (map (mag at_) js)).
Proof. rewrite zsum_real, !map_map. f_equal. apply map_ext. intros. apply claimed_num. Qed.

Theorem roundings_ok k : (k < length (cunits net))%nat -> exists F, whole (annotation_of net d) k <= F /\
  noise claimed F (denote (unit_at net k)) (real (r_rho (row_nat d k))).
Proof.
  intros Hk. assert (F := facts_at net d facts k Hk). set (o := unit_at net k) in *.
  assert (M := small_claims k o Hk F). assert (Tm := proj2 (f_rho _ _ _ _ _ F)).
  destruct (f_fits _ _ _ _ _ F) as (whole & W1 & [Wp Wl] & Fi & R). apply real_le in Wl. rewrite limit_is in Wl.
  exists (real whole). split; [apply Rle_trans with (1 := whole_ok net d facts k Hk); now apply real_le|]. clear W1.
  assert (Rp := proj1 (f_rho _ _ _ _ _ F)). set (rho := r_rho (row_nat d k)) in *.
  assert (Hu := u_is). destruct o as [p|ws bs|j c|js|j|j|i j|i j]; cbn [denote noise rounding_of fits reads_of] in *.
  - now apply real_pos.
  - exists (2 ^ 20). split; [lra|]. split.
    { intros i Hi. unfold entries in Hi. rewrite map_map in Hi. apply in_map_iff in Hi. destruct Hi as (x & <- & Hx).
      cbn [snd]. rewrite claimed_num. apply M. apply in_map_iff. now exists x. }
    assert (Pp : forall x, In x ws -> (0 <= Z.abs (fst x) * mag at_ (snd x))%Z).
    { intros x Hx. apply Z.mul_nonneg_nonneg; [lia|]. apply M. apply in_map_iff. now exists x. }
    assert (E1 : map (fun wj => Rabs (fst wj) * claimed (snd wj)) (entries ws) = map real2 (zproducts at_ ws)).
    { unfold entries, zproducts. rewrite !map_map. apply map_ext. intros x. cbn [fst snd]. rewrite claimed_num, <- real_abs.
      unfold real, real2. rewrite mult_IZR. lra. }
    assert (E2 : map Rabs (map real bs) = map real2 (map (fun b => one * Z.abs b)%Z bs)).
    { rewrite !map_map. apply map_ext. intros b. rewrite <- real_abs. unfold real, real2. rewrite mult_IZR, one_is. lra. }
    assert (E3 : total (map (fun wj => Rabs (fst wj)) (entries ws)) = real (zsum (map (fun w => Z.abs (fst w)) ws))).
    { rewrite zsum_real. unfold entries. rewrite !map_map. f_equal. apply map_ext. intros x. cbn [fst]. now rewrite real_abs. }
    cbv zeta. rewrite E1, E2, E3, <- map_app, <- real2_one. apply sum_noise_mono with (real2 (zrounded at_ ws)).
    { unfold zrounded.
      clear - Pp. induction ws as [|x ws IH]; [unfold real2, zsum; simpl; lra|]. unfold entries in *. cbn [map zsum fold_right].
      unfold zsum in IH. specialize (IH (fun y Hy => Pp y (or_intror Hy))). rewrite real2_plus.
      change (total (?a :: ?b)) with (a + total b). apply Rplus_le_compat; [|exact IH]. cbn [fst snd].
      destruct (power_of_2 (fst x)) eqn:E; [rewrite (power_of_2_scales _ E); unfold real2; lra|].
      rewrite claimed_num, <- real_abs. specialize (Pp x (or_introl eq_refl)). apply IZR_le in Pp.
      destruct scales; unfold real, real2; rewrite mult_IZR in *; lra. }
    apply sum_noise_ok; try assumption; [lra| |].
    + apply Forall_app. split; apply Forall_forall; intros z Hz; apply in_map_iff in Hz; destruct Hz as (x & <- & Hx).
      * now apply Pp.
      * unfold one. lia.
    + unfold zrounded. clear - Pp. induction ws as [|x ws IH]; [simpl; lia|]. cbn [map zsum fold_right].
      assert (A := Pp x (or_introl eq_refl)). assert (B := IH (fun y Hy => Pp y (or_intror Hy))).
      unfold zsum in B. destruct power_of_2; lia.
  - destruct (M j (or_introl eq_refl)) as (M0 & M1). rewrite claimed_num. apply Z.leb_le in Fi.
    destruct (quotient_noise_ok (mag at_ j) c M0 ltac:(lra)) as [A B].
    { rewrite <- real_abs. apply real_le in Fi. rewrite real_scale in Fi. fold (real one) in Fi. rewrite real_one in Fi. lra. }
    split; [exact A|]. apply Rle_trans with (1 := B). now apply real_le.
  - apply andb_prop in Fi. destruct Fi as [Fi F3]. apply andb_prop in Fi. destruct Fi as [F1 F2]. apply Z.leb_le in F2, F3.
    assert (L1 : length (map num js) = length js) by apply map_length.
    assert (Ln : real (length_of js) = INR (length (map num js))).
    { rewrite L1, INR_IZR_INZ. unfold length_of. rewrite Z.mul_comm. unfold real. rewrite mult_IZR, one_is. lra. }
    assert (La : real (all_of js whole) = INR (length (map num js)) * real whole).
    { rewrite L1, INR_IZR_INZ. unfold all_of. now rewrite real_scale. }
    assert (E1 : map claimed (map num js) = map real2 (map (fun j => one * mag at_ j)%Z js)).
    { rewrite !map_map. apply map_ext. intros j. now rewrite claimed_num, real2_one. }
    assert (Pj : Forall (fun b => (0 <= b)%Z) (map (fun j => one * mag at_ j)%Z js)).
    { apply Forall_forall. intros z Hz. apply in_map_iff in Hz. destruct Hz as (j & <- & Hj).
      apply Z.mul_nonneg_nonneg; [unfold one; lia|]. now apply M. }
    assert (Z0 : real2 0 = 0) by (unfold real2; lra).
    assert (S0 : sum_noise (map real2 (map (fun j => one * mag at_ j)%Z js)) (real2 (one * all_of js whole)) (real2 0) (real 0) 0
      (real (mean_noise at_ js whole))).
    { apply sum_noise_ok; [exact F1|apply Z.le_refl|exact F3|lra|exact Pj|lia]. }
    assert (N0 : (0 <= mean_noise at_ js whole)%Z).
    { apply (noise_of_sum_pos _ _ _ _ S0); [lra|exact Pj|]. unfold all_of, one. lia. }
    rewrite real2_one, Z0, real_0 in S0. rewrite <- E1, La in S0.
    exists (real (mean_noise at_ js whole)). cbv zeta. split; [exact S0|]. rewrite <- La, <- real_plus, <- Ln.
    assert (N1 : 1 <= real (length_of js)) by (rewrite Ln, L1, INR_IZR_INZ; now apply IZR_le).
    assert (N2 : real (length_of js) <= 2 ^ 15).
    { rewrite Ln, L1, INR_IZR_INZ. unfold sum_fits in F1. rewrite !andb_true_iff, !Z.leb_le in F1. destruct F1 as [[F1 _] _].
      rewrite map_length in F1. apply IZR_le in F1. unfold most_terms in F1. lra. }
    assert (A0 : (0 <= all_of js whole)%Z) by (unfold all_of; lia).
    apply real_le in F3. unfold limit in F3. unfold real at 2 in F3. rewrite mult_IZR, one_is in F3.
    assert (A1 : real (all_of js whole) <= 2 ^ 15 * 2 ^ 20).
    { rewrite La, <- Ln. apply Rmult_le_compat; [lra|now apply real_pos|exact N2|exact Wl]. }
    destruct (quotient_noise_ok (all_of js whole + mean_noise at_ js whole) (length_of js) ltac:(lia)) as [A B].
    { rewrite real_plus. lra. }
    { rewrite Rabs_pos_eq; lra. }
    split; [exact A|]. apply real_le in R. rewrite real_plus in R.
    assert (D := ceil_div_unit (mean_noise at_ js whole) (Z.of_nat (length js)) ltac:(lia)).
    rewrite <- INR_IZR_INZ in D. rewrite L1 in Ln. rewrite <- Ln in D. lra.
  - rewrite !claimed_num, ?u_is. unfold near, at_zero. assert (H27 : real (Z.shiftr one 27) = / 2 ^ 27) by (change (Z.shiftr one 27) with 9444732965739290427392%Z; unfold real; lra).
    assert (H6 : real (Z.shiftr one 6) = / 2 ^ 6) by (change (Z.shiftr one 6) with 19807040628566084398385987584%Z; unfold real; lra).
    apply real_le in R. destruct (Z.leb_spec (mag at_ j) (Z.shiftr one 27)) as [A|A].
    + right. right. apply real_le in A. change (Z.shiftr one 28) with 4722366482869645213696%Z in R. split; [lra|]. unfold real at 1 in R. lra.
    + destruct (Z.leb_spec (mag at_ j) (Z.shiftr one 6)) as [B|B].
      * right. left. apply real_le in B. change (Z.shiftr one 23) with 151115727451828646838272%Z in R. split; [lra|]. unfold real at 1 in R. lra.
      * left. change (Z.shiftr one 22) with 302231454903657293676544%Z in R. unfold real at 1 in R. lra.
  - rewrite !claimed_num, ?u_is. unfold near, at_zero. assert (H27 : real (Z.shiftr one 27) = / 2 ^ 27) by (change (Z.shiftr one 27) with 9444732965739290427392%Z; unfold real; lra).
    assert (H6 : real (Z.shiftr one 6) = / 2 ^ 6) by (change (Z.shiftr one 6) with 19807040628566084398385987584%Z; unfold real; lra).
    apply real_le in R. rewrite real_plus in R. assert (Q : real 1 = / 2 ^ 100) by (unfold real; lra).
    assert (He : eta <= / 2 ^ 100) by (unfold eta; lra). destruct (Z.leb_spec (mag at_ j) (Z.shiftr one 27)) as [A|A].
    + right. right. apply real_le in A. split; [lra|]. generalize (ceil_div_unit (mag at_ j) 0x10000000 ltac:(lia)). lra.
    + destruct (Z.leb_spec (mag at_ j) (Z.shiftr one 6)) as [B|B].
      * right. left. apply real_le in B. split; [lra|]. generalize (ceil_div_unit (3 * mag at_ j) 0x1000000 ltac:(lia)).
        rewrite real_scale. lra.
      * left. generalize (ceil_div_unit (6 * mag at_ j) 0x1000000 ltac:(lia)). rewrite real_scale. lra.
  - rewrite !claimed_num, u_is. destruct (M i ltac:(simpl; auto)) as (_ & I0 & I1). destruct (M j ltac:(simpl; auto)) as (_ & J0 & J1).
    assert (P : real (mag at_ i) * real (mag at_ j) <= 2 ^ 20 * 2 ^ 20) by (apply Rmult_le_compat; assumption).
    split; [unfold largest; lra|]. apply real_le in R. rewrite real_plus in R. assert (Q : real 1 = / 2 ^ 100) by (unfold real; lra).
    generalize (ceil_div_unit (up (mag at_ i * mag at_ j)) 0x1000000 ltac:(lia)) (up_product (mag at_ i) (mag at_ j)).
    unfold eta. lra.
  - rewrite !claimed_num, u_is. destruct (M i ltac:(simpl; auto)) as (_ & I0 & I1). destruct (M j ltac:(simpl; auto)) as (_ & J0 & J1).
    split; [unfold largest; lra|]. apply real_le in R. rewrite real_plus in R. assert (Q : real 1 = / 2 ^ 100) by (unfold real; lra).
    generalize (ceil_div_unit (mag at_ i + mag at_ j) 0x1000000 ltac:(lia)). rewrite real_plus. unfold eta. lra.
Qed.
End Roundings.
