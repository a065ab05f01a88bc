(** * Ranges, changes, and what each unit adds to them

    - [radius_unit], [move_unit], [errors_unit], [owns_unit]: four of the [unit_facts] of
      Annotation.v, for the numbers of a walk.

    Rests on WalkUnit.v. Stands behind columns.py and changes.py. *)

From Coq Require Import Reals Lra Lia ZArith List Bool FMapPositive Uint63.
From Lastbit Require Import Totals network.Duals network.Forms checker.Program checker.Numbers
  checker.Vectors
  checker.Annotation.
From Lastbit Require Import fast.Walk fast.WalkForms fast.LineSums fast.Stored fast.LineKeys.
From Lastbit Require Import fast.WalkEarly fast.WalkSteps fast.Mixed fast.WalkLines
  fast.WalkHistory fast.WalkState.
From Lastbit Require Import fast.WalkUnit.
Import ListNotations.
Open Scope R_scope.

Section Walked.
Variables (ratio : Z) (boundary : int) (ds : list details).
Hypothesis ratio_range : (0 <= ratio <= 2 ^ 22)%Z.
Hypothesis Steps : all_taken ratio boundary ds.

Notation D := (D ds).
Notation own_mark := (own_mark ds).
Notation seen_mark := (seen_mark ds).
Notation row_for := (row_for ds).
Notation err_of := (err_of ds).
Notation own_of := (own_of ds).
Notation move_for := (move_for ds).
Notation most := (most ratio boundary).
Notation columns := (per err_of own_mark).
Notation seen_only := (seen_only ratio boundary ds Steps).
Notation own_only := (own_only ratio boundary ds Steps).

(** ** Lines of columns *)

Lemma drift_real s : real (drift ratio s) = (IZR ratio / 2 ^ 20 * IZR (Uint63.to_Z (s_low s)) +
  4 * IZR (Uint63.to_Z (s_high s))) / 2 ^ 32.
Proof.
  unfold drift. rewrite real_plus. set (a := (ratio * _)%Z). set (b := (4 * _)%Z).
  assert (U : up (Z.shiftl a (80 - grain) * one) = Z.shiftl a (80 - grain)).
  { unfold up. rewrite <- Z.mul_opp_l, Z.shiftr_div_pow2 by lia. change (2 ^ 100)%Z with one.
    rewrite Z.div_mul by discriminate. lia. }
  rewrite U. unfold real, grain, a, b. rewrite !Z.shiftl_mul_pow2, !mult_IZR by lia.
  change (2 ^ (80 - 32))%Z with (2 ^ 48)%Z. change (2 ^ (100 - 32))%Z with (2 ^ 68)%Z.
  replace (IZR (2 ^ 48)) with (2 ^ 48)%R by (simpl; lra).
  replace (IZR (2 ^ 68)) with (2 ^ 68)%R by (simpl; lra). lra.
Qed.

Lemma mark_drift k s n : good boundary k s ->
  over n (fun g => most g * Rabs (mark s g)) <= real (drift ratio s).
Proof.
  intros G. rewrite drift_real. destruct ratio_range as [Hr _]. apply IZR_le in Hr.
  apply Rle_trans
    with (/ 2 ^ 32 * (IZR ratio / 2 ^ 20 * over n (fun g =>
      if (Z.of_nat g <? plain boundary)%Z then Rabs
    (IZR (value s g)) else 0) +
    4 * over n (fun g => if (Z.of_nat g <? plain boundary)%Z then 0 else Rabs (IZR (value s g))))).
  - rewrite <- !over_scale, <- over_plus, <- over_scale. right. apply over_ext. intros g _.
    unfold mark, Rdiv. rewrite Rabs_mult, (Rabs_pos_eq (/ 2 ^ 32)) by lra. unfold WalkUnit.most.
    destruct (_ <? _)%Z; unfold Rdiv; ring.
  - assert (L := low_ok _ _ _ n G). assert (H := high_ok _ _ _ n G).
    apply (Rmult_le_compat_l (IZR ratio / 2 ^ 20)) in L;
      lra.
Qed.

Section Unit.
Variables (k : nat) (st1 st2 : state).
Hypothesis Hk : (k < length ds)%nat.
Hypothesis I : invariant boundary ds k st1.
Hypothesis T : taken ratio boundary st1 (D k) st2.

Notation d := (D k).
Notation c := (d_cell (D k)).
Notation r := (row_of_cell (d_cell (D k))).
Notation o := (d_op (D k)).
Notation kept := (kept_of (d_op (D k)) (row_of_cell (d_cell (D k)))).
Notation L := (fun _ j => coef (kept_of (d_op (D k)) (row_of_cell (d_cell (D k)))) j).

(** The rows of the operands, in the state and here. *)

Lemma cell_same j : In j (reads_of o) -> cell_at (known st1) j = cell_for ds j.
Proof.
  intros Hj. rewrite <- (key_num j) at 1.
  rewrite (i_known I) by exact (reads_before _ _ _ _ _ _ I T j Hj). reflexivity.
Qed.

Lemma row_same j : In j (reads_of o) -> row_in (known st1) j = row_for j.
Proof. intros Hj. unfold row_in. now rewrite cell_same. Qed.

Lemma kept_same x : In x kept -> cell_at (known st1) (snd x) = d_cell (D (num (snd x))).
Proof. intros Hx. now rewrite cell_same by now apply kept_in_reads in Hx. Qed.

Lemma moved_same q j : In j (reads_of o) -> moved_by (known st1) q j = move_for q j.
Proof. intros Hj. unfold moved_by, moved. now rewrite cell_same. Qed.

Lemma reach_ok : over k (fun g => Rabs (own_mark k g)) <= real (reach_of (d_columns d)).
Proof.
  unfold WalkState.own_mark. destruct (d_columns d) as [[[t s] p]|] eqn:E; cbn [made reach_of].
  - destruct (columns_fine _ _ _ _ _ _ I T t s p E) as [G _].
    apply Rle_trans with (1 := gap_times boundary k _ k _ s G). rewrite <- real_abs.
    apply up_product.
  - rewrite (over_cut k 0); [rewrite real_0; unfold over; simpl; lra|lia|]. intros. apply Rabs_R0.
Qed.

Lemma drift_ok : over k (fun g => most g * Rabs (own_mark k g)) <=
  real (drift_of ratio (d_columns d)).
Proof.
  unfold WalkState.own_mark. destruct (d_columns d) as [[[t s] p]|] eqn:E; cbn [made drift_of].
  - destruct (columns_fine _ _ _ _ _ _ I T t s p E) as [[G _] _].
    apply Rle_trans with (2 := up_product _ _). rewrite real_abs.
    apply Rle_trans with (2 := Rmult_le_compat_l _ _ _ (Rabs_pos _) (mark_drift k s k G)).
    rewrite <- over_scale. right. apply over_ext. intros g _. rewrite Rabs_mult. ring.
  - rewrite (over_cut k 0); [rewrite real_0; unfold over; simpl; lra|lia|]. intros. rewrite Rabs_R0.
    ring.
Qed.

(** ** Ranges and changes *)

Lemma radius_unit : radius columns err_of k <= real (r_rad r).
Proof.
  apply Rle_trans with (1 := radius_marks err_of own_mark (err_pos ratio boundary ds Steps) k).
  assert (P := real_le _ _ (p_rad (proj1 T))). rewrite real_plus in P. assert (R := reach_ok).
  unfold WalkUnit.err_of at 1. rewrite row_key. lra.
Qed.

Lemma move_unit q : radius columns (own_of q) k <= real (move_for q (key k)).
Proof.
  apply Rle_trans
    with (1 := moved_marks err_of own_mark (err_pos ratio boundary ds Steps) (own_of q) most k
    (fun g => proj1 (most_range ratio boundary ratio_range g))
    (fun g N => base_tame ratio boundary ds Steps q g (proj1 (own_only k g Hk N)))).
  assert (P := real_le _ _ (p_move (proj1 T))). rewrite real_plus in P. assert (R := drift_ok).
  unfold WalkUnit.own_of, own_for, WalkUnit.move_for. rewrite cell_key, !real_plus. lra.
Qed.

(** ** What the unit adds *)

Lemma errors_unit : local_error (fun _ => real (offset_of o (r_off r))) L
  (fun g => real (r_centre (row_for (key g)))) columns (fun _ =>
    real (r_rest r) + real (r_rho r)) err_of k.
Proof.
  assert (P := real_le _ _ (p_err (proj1 T))). rewrite !real_plus in P. unfold local_error.
  assert (C := centre_gap_ok row_for o r k (kept_below _ _ _ _ _ _ I T)).
  assert (Cs : centre_gap (row_in (known st1)) o r = centre_gap row_for o r).
  { unfold centre_gap. do 3 f_equal. apply map_ext_in. intros x Hx.
    now rewrite row_same by now apply kept_in_reads in Hx. }
  rewrite Cs in P.
  assert (M :=
    misfit_errors err_of own_mark seen_mark (err_pos ratio boundary ds Steps) k kept
    (real (d_missed d))
    (kept_below _ _ _ _ _ _ I T)
    (marks_missed _ _ _ _ _ _ I T k) (fun j => real (val (c_gap (d_cell (D (num j))))))).
  assert (G := weighed_sum (fun j => val (c_gap (d_cell (D (num j))))) kept). cbv beta in G, M.
  rewrite (map_ext_in _ (fun w => (Z.abs (fst w) * val (c_gap (d_cell (D (num (snd w))))))%Z)) in P
    by (intros x Hx; now rewrite kept_same).
  specialize (M (fun x Hx => gap_ok ratio boundary ds Steps (num (snd x)) k (Nat.lt_trans _ _ _
    (kept_below _ _ _ _ _ _ I T x Hx) Hk)
    (kept_below _ _ _ _ _ _ I T x Hx))).
  replace (real (r_centre (row_for (key k)))) with (real (r_centre r)) by now rewrite row_key.
  replace (err_of k) with (real (r_err r)) by (unfold WalkUnit.err_of; now rewrite row_key). lra.
Qed.

Lemma bend_ok q : real (bend_by row_for q (move_for q) o r) <=
  real
  (change_of (row_in (known st1)) 0 (moved (known st1)) (still o)
    (if d_box d then 0 else r_slope r)%Z) +
    real (early_at (d_bent d) q).
Proof.
  rewrite <- real_plus. apply real_le. assert (E := early_change_ok _ _ q _ _ _ (p_bent (proj1 T))).
  rewrite (change_ext (row_in (known st1)) row_for o row_same q _ (move_for q) _ (moved_same q))
    in E.
  apply Z.le_trans with (2 := E). unfold bend_by. change (r_box r) with (c_box c).
  rewrite (p_box (proj1 T)).
  destruct (d_box d); [apply Z.le_min_r|apply Z.le_refl].
Qed.

Lemma owns_unit q : local_error (fun _ => 0) L (fun _ => 0) columns
  (fun _ => real (bend_by row_for q (move_for q) o r) + 2 * real (r_rho r)) (own_of q) k.
Proof.
  unfold local_error. assert (Z0 : read_through L (fun _ => 0) k = 0).
  { unfold read_through. rewrite (over_cut k 0); [reflexivity|lia|]. intros. ring. }
  rewrite Z0, Rplus_0_l, Rminus_0_r, Rabs_R0, Rplus_0_l.
  assert (Below := kept_below _ _ _ _ _ _ I T). assert (P := real_le _ _ (p_own (proj1 T))).
  rewrite !real_plus, !real_scale in P. assert (B := bend_ok q).
  assert (M :=
    misfit_owns err_of own_mark seen_mark (base_at ds)
    (err_pos ratio boundary ds Steps) k kept (real
    (d_missed d)) Below
    (marks_missed _ _ _ _ _ _ I T k) (own_of q) (fun g =>
      real_pos _ (own_pos ratio boundary ds Steps q g))).
  specialize (M (fun g Bg => Rle_trans _ _ _ (proj2 (base_tame ratio boundary ds Steps q g Bg))
    (Rmult_le_compat_r _ _ _ (err_pos ratio boundary ds Steps g)
      (proj2 (most_range ratio boundary ratio_range g))))).
  specialize (M (fun j => real (val (c_gap_own (d_cell (D (num j))))) +
    real (early_at (c_early (d_cell (D (num j)))) q))).
  cbv beta in M. rewrite (total_map_ext (fun x => Rabs (real (fst x)) * (_ + _))
    (fun x => Rabs (real (fst x)) * real (val (c_gap_own (d_cell (D (num (snd x)))))) +
      Rabs (real (fst x)) * real (early_at (c_early (d_cell (D (num (snd x))))) q))) in M
      by (intros; ring).
  rewrite total_map_plus in M.
  assert (G := weighed_sum (fun j => val (c_gap_own (d_cell (D (num j))))) kept). cbv beta in G.
  rewrite (map_ext_in _ (fun w => (Z.abs (fst w) * val (c_gap_own (d_cell (D (num (snd w))))))%Z))
    in P
    by (intros x Hx; now rewrite kept_same).
  assert (Ek := early_kept_ok (known st1) q kept).
  rewrite (total_map_ext _ (fun x =>
    Rabs (real (fst x)) * real (early_at (c_early (d_cell (D (num (snd x))))) q))) in Ek
    by (intros x Hx; now rewrite kept_same).
  assert (R := real_le _ _ (rough_ok (merge (d_bent d) (early_kept (known st1) kept)) q)).
  rewrite early_real, coef_merge, <- !early_real, <- (p_early (proj1 T)) in R.
  assert (O : own_of q k = real (val (c_own c)) +
    real (early_at (if d_base d then [] else d_early d) q)).
  { unfold WalkUnit.own_of, own_for. rewrite cell_key, (p_cell_early (proj1 T)). apply real_plus. }
  assert (Q : real (if d_base d then peak (d_early d) else 0)%Z +
    real (early_at (if d_base d then [] else d_early d) q) >= real (early_at (d_early d) q)).
  { destruct (d_base d); [|rewrite real_0; lra]. change (early_at [] q) with 0%Z.
    rewrite real_0, Rplus_0_r. apply Rle_ge, real_le, peak_ok. apply (p_ascending (proj1 T)). }
  rewrite O. apply Rle_trans with (2 := Rplus_le_compat_r _ _ _ P).
  apply Rle_trans
    with ((total (map (fun x => Rabs (real (fst x)) * real (val (c_gap_own (d_cell (D (num
    (snd x))))))) kept) +
    total
    (map (fun x => Rabs (real (fst x)) * real (early_at (c_early (d_cell (D (num (snd x))))) q))
      kept) +
      4 * real (d_missed d)) +
    (real (bend_by row_for q (move_for q) o r) + 2 * real (r_rho r))); [|lra].
  apply Rplus_le_compat_r, M; clear M.
  - intros g N. destruct (Req_dec (own_mark k g) 0) as [Z|Nz]; [|now apply (own_only k g Hk)].
    rewrite Z, Rminus_0_r in N.
    assert (X : exists x, In x kept /\ seen_mark (num (snd x)) g <> 0).
    { clear - N. induction kept as [|x l IH]; [now elim N|]. cbn [map] in N.
      rewrite total_cons in N.
      destruct (Req_dec (seen_mark (num (snd x)) g) 0) as [E|E];
        [|exists x; split; [now left|exact E]].
      rewrite E, Rmult_0_r, Rplus_0_l in N. destruct (IH N) as (y & Hy & Ny). exists y.
      split; [now right|exact Ny]. }
    destruct X as (x & Hx & Nx). apply (seen_only (num (snd x)) g); [|exact Nx].
    generalize (Below x Hx). lia.
  - intros x Hx. apply (gap_own_ok ratio boundary ds ratio_range Steps); [|now apply Below].
    generalize (Below x Hx). lia.
Qed.
End Unit.
End Walked.
