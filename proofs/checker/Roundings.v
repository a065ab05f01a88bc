(** * The checker's roundings

    - [roundings_ok]: the number [rounding_of] that Program.v computes for a unit, from the
      magnitudes of its operands, satisfies [noise]; so does any larger one.

    Rests on LinearRoundings.v, Annotation.v and Units.v. Stands behind [noise]
    in forms.py. *)

From Coq Require Import Reals Lra Lia ZArith List Bool.
From Lastbit Require Import Statement Totals binary32.Terms binary32.Folds binary32.Additions
  binary32.Layers.
From Lastbit Require Import operations.Units network.Bound.
From Lastbit Require Import checker.Program checker.Numbers checker.Annotation checker.SumRoundings
  checker.LinearRoundings.
Notation real := Numbers.real.
Import ListNotations.
Open Scope R_scope.

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
  intros H. apply real_le_inv. rewrite real_0.
  apply Rle_trans with (2 := magnitude_ok net d facts k H).
  now apply (magnitude_low net d facts).
Qed.

Lemma small_claims k o : (k < length (cunits net))%nat -> unit_facts net d k o o ->
  forall j, In j (reads_of o) -> (0 <= mag at_ j)%Z /\ 0 <= real (mag at_ j) <= 2 ^ 20.
Proof.
  intros Hk F j Hj. assert (L := f_reads _ _ _ _ _ F j Hj).
  assert (P := mag_pos (num j) ltac:(lia)). rewrite key_num in P. split; [exact P|].
  split; [now apply real_pos|].
  rewrite <- (key_num j). apply (mag_limit net d facts). lia.
Qed.

Lemma shift_27 : real (Z.shiftr one 27) = / 2 ^ 27.
Proof. change (Z.shiftr one 27) with 9444732965739290427392%Z. unfold real. lra. Qed.

Lemma shift_6 : real (Z.shiftr one 6) = / 2 ^ 6.
Proof. change (Z.shiftr one 6) with 19807040628566084398385987584%Z. unfold real. lra. Qed.

Theorem roundings_ok k : (k < length (cunits net))%nat ->
  exists F, whole (annotation_of net d) k <= F /\
  noise claimed F (denote (unit_at net k)) (real (r_rho (row_nat d k))).
Proof.
  intros Hk. assert (F := facts_at net d facts k Hk). set (o := unit_at net k) in *.
  assert (M := small_claims k o Hk F).
  destruct (f_fits _ _ _ _ _ F) as (whole & W1 & [Wp Wl] & Fi & R).
  exists (real whole). split; [apply Rle_trans with (1 := whole_ok net d facts k Hk);
    now apply real_le|]. clear W1.
  assert (Rp := proj1 (f_rho _ _ _ _ _ F)). set (rho := r_rho (row_nat d k)) in *.
  assert (Hu := u_is). destruct o as [p|ws bs over|j|j|i j].
  - cbn [denote noise]. now apply real_pos.
  - apply (linear_noise at_); [|exact Fi|exact R]. intros j Hj. destruct (M j Hj) as (A & B).
    rewrite claimed_num. tauto.
  - cbn [denote noise rounding_of fits reads_of] in *. rewrite !claimed_num, ?u_is.
    unfold near, at_zero.
    assert (H27 := shift_27). assert (H6 := shift_6).
    apply real_le in R. destruct (Z.leb_spec (mag at_ j) (Z.shiftr one 27)) as [A|A].
    + right. right. apply real_le in A.
      change (Z.shiftr one 28) with 4722366482869645213696%Z in R. split; [lra|].
      unfold real at 1 in R. lra.
    + destruct (Z.leb_spec (mag at_ j) (Z.shiftr one 6)) as [B|B].
      * right. left. apply real_le in B.
        change (Z.shiftr one 23) with 151115727451828646838272%Z in R. split; [lra|].
        unfold real at 1 in R. lra.
      * left. change (Z.shiftr one 22) with 302231454903657293676544%Z in R. unfold real at 1 in R.
        lra.
  - cbn [denote noise rounding_of fits reads_of] in *. rewrite !claimed_num, ?u_is.
    unfold near, at_zero.
    assert (H27 := shift_27). assert (H6 := shift_6).
    apply real_le in R. rewrite real_plus in R.
    assert (Q : real 1 = / 2 ^ 100) by (unfold real; lra).
    assert (He : eta <= / 2 ^ 100) by (unfold eta; lra).
    destruct (Z.leb_spec (mag at_ j) (Z.shiftr one 27)) as [A|A].
    + right. right. apply real_le in A. split; [lra|].
      generalize (ceil_div_unit (mag at_ j) 0x10000000 ltac:(lia)). lra.
    + destruct (Z.leb_spec (mag at_ j) (Z.shiftr one 6)) as [B|B].
      * right. left. apply real_le in B. split; [lra|].
        generalize (ceil_div_unit (3 * mag at_ j) 0x1000000 ltac:(lia)).
        rewrite real_scale. lra.
      * left. generalize (ceil_div_unit (6 * mag at_ j) 0x1000000 ltac:(lia)). rewrite real_scale.
        lra.
  - cbn [denote noise rounding_of fits reads_of] in *. rewrite !claimed_num, u_is.
    destruct (M i ltac:(simpl; auto)) as (_ & I0 & I1).
    destruct (M j ltac:(simpl; auto)) as (_ & J0 & J1).
    assert (P : real (mag at_ i) * real (mag at_ j) <= 2 ^ 20 * 2 ^ 20) by (apply Rmult_le_compat;
      assumption).
    split; [unfold largest; lra|]. apply real_le in R. rewrite real_plus in R.
    assert (Q : real 1 = / 2 ^ 100) by (unfold real; lra).
    generalize (ceil_div_unit (up (mag at_ i * mag at_ j)) 0x1000000 ltac:(lia)) (up_product (mag
      at_ i) (mag at_ j)).
    unfold eta. lra.
Qed.
End Roundings.
