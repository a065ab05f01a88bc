(** * The walk through a network is sound

    - [walk_ok]: of units that [walk] has visited there are numbers that satisfy [unit_facts] of
      Annotation.v, whatever the duals; what it says of each unit for the way back bounds what
      annotation_of says.

    Rests on WalkFacts.v. Stands behind derivation.py. *)

From Coq Require Import Reals Lra Lia ZArith List Bool FMapPositive Uint63.
From Lastbit Require Import Statement Totals network.Forms network.Bound checker.Program
  checker.Numbers checker.Vectors checker.Annotation
  checker.Facts.
From Lastbit Require Import fast.Walk fast.WalkForms fast.LineSums fast.Stored.
From Lastbit Require Import fast.WalkEarly fast.WalkSteps fast.Mixed fast.WalkLines
  fast.WalkHistory fast.WalkState.
From Lastbit Require Import fast.WalkUnit fast.WalkFacts.
From Lastbit Require fast.Backward.
Import ListNotations.
Open Scope R_scope.

Section Walked.
Variables (ratio : Z) (boundary : int) (ds : list details) (net : cnet) (dual : nat ->
  nat -> nat -> R).
Hypothesis ratio_range : (0 <= ratio <= 2 ^ 22)%Z.
Hypothesis Steps : all_taken ratio boundary ds.
Hypothesis Units : map d_op ds = map strip (cunits net).
Hypothesis Ordered : forall k o, nth_error (cunits net) k = Some o -> forall j, In j (reads_of o) ->
  (num j < k)%nat.

Notation D := (D ds).
Notation d := (numbers_of ds dual).

Lemma count : length ds = length (cunits net).
Proof. rewrite <- (length_map d_op), Units. apply length_map. Qed.

Section Unit.
Variables (k : nat) (o : cunit).
Hypothesis Ho : nth_error (cunits net) k = Some o.

Lemma unit_below : (k < length ds)%nat.
Proof. rewrite count. apply nth_error_Some. now rewrite Ho. Qed.

Lemma unit_op : d_op (D k) = strip o.
Proof.
  assert (E := map_nth_error strip _ _ Ho). rewrite <- Units in E. unfold WalkState.D.
  rewrite nth_error_map in E. destruct (nth_error ds k) as [x|] eqn:Ex; [|discriminate].
  rewrite (nth_error_nth _ _ _ Ex). cbn [option_map] in E. congruence.
Qed.

Lemma facts_walked : unit_facts net d k o (strip o).
Proof.
  assert (Hk := unit_below). destruct (Steps k Hk) as (st1 & st2 & I & T). assert (S := proj1 T).
  assert (Same := row_same _ _ _ _ _ _ I T).
  assert (Hr : row_nat d k = row_of_cell (d_cell (D k))) by apply row_key.
  rewrite <- unit_op. split; rewrite ?Hr; cbn [n_row n_cols n_move n_bend n_rem n_own numbers_of].
  - intros j Hj. now apply (Ordered k o Ho).
  - destruct (p_fits S) as (F & F1 & F2 & F3 & F4). exists F. unfold whole_of, mag. rewrite row_key.
    split; [exact F1|]. split; [exact F2|].
    rewrite <- (fits_ext _ _ _ Same), <- (rounding_ext _ _ _ Same). now split.
  - apply (p_rho S).
  - rewrite <- (rest_ext _ _ _ Same). apply Z.lt_le_incl, (p_rest S).
  - intros B. apply (p_may_box S). rewrite <- (p_box S). exact B.
  - intros q _. rewrite num_key, row_key. apply Z.le_refl.
  - intros q _. rewrite num_key, row_key. apply Z.le_refl.
  - apply (p_err_pos S).
  - intros q _. apply (own_pos ratio boundary ds Steps).
  - unfold mag. rewrite row_key. apply (p_mag S).
  - exact (radius_unit ratio boundary ds Steps k st1 st2 Hk I T).
  - intros q _. exact (move_unit ratio boundary ds ratio_range Steps k st1 st2 Hk I T q).
  - exact (errors_unit ratio boundary ds Steps k st1 st2 Hk I T).
  - intros q _. rewrite num_key, row_key.
    exact (owns_unit ratio boundary ds ratio_range Steps k st1 st2 Hk I T q).
Qed.

(** The rest has room for one unit more. *)
Lemma rest_walked : (rest_of (n_row d) o (row_nat d k) < r_rest (row_nat d k))%Z.
Proof.
  destruct (Steps k unit_below) as (st1 & st2 & I & T). assert (Same := row_same _ _ _ _ _ _ I T).
  assert (R := p_rest (proj1 T)). rewrite (rest_ext _ _ _ Same), unit_op, rest_strip in R.
  unfold row_nat. cbn [n_row numbers_of]. now rewrite row_key.
Qed.

Notation v := (d_visited (D k)).

Lemma core_walked j : core (annotation_of net d) k j =
  coef (core_of (Backward.v_op v) (Backward.v_slope v)) j.
Proof.
  destruct (Steps k unit_below) as (st1 & st2 & I & T). cbn [core annotation_of].
  unfold core_at, unit_at. rewrite (nth_error_nth _ _ _ Ho).
  rewrite (p_op (proj2 T)), (p_slope (proj2 T)), unit_op, core_strip. unfold row_nat.
  cbn [n_row numbers_of]. now rewrite row_key.
Qed.

Lemma rho_walked : rho (annotation_of net d) k <= real (Backward.v_rho v).
Proof.
  destruct (Steps k unit_below) as (st1 & st2 & I & T). cbn [rho annotation_of].
  rewrite (p_vrho (proj2 T)).
  unfold row_nat. cbn [n_row numbers_of]. rewrite row_key. apply Rle_refl.
Qed.

Lemma remainder_walked q : remainder (annotation_of net d) q k <= real (Backward.v_rem v) +
  coef (Backward.v_early v) q.
Proof.
  destruct (Steps k unit_below) as (st1 & st2 & I & T).
  cbn [remainder annotation_of n_rem numbers_of]. rewrite num_key, row_key.
  rewrite (p_vrem (proj2 T)), (p_vearly (proj2 T)), <- early_real, <- real_plus. apply real_le.
  assert (E := early_change_ok _ _ q _ _ _ (p_apart (proj1 T))).
  now rewrite (change_ext (row_in (known st1)) (row_for ds) _ (row_same _ _ _ _ _ _ I T) q _
    (move_for ds q) _
    (moved_same _ _ _ _ _ _ I T q)) in E.
Qed.

Lemma move_walked q : 0 <= move (annotation_of net d) q k <= real (Backward.v_move v).
Proof.
  assert (Hk := unit_below). destruct (Steps k Hk) as (st1 & st2 & I & T).
  change (move (annotation_of net d) q k)
    with (radius (per (err_of ds) (own_mark ds)) (own_of ds q) k). split.
  - unfold radius.
    apply Rplus_le_le_0_compat;
      [apply over_pos; intros g _; apply Rmult_le_pos; [apply Rabs_pos|]|];
      apply real_pos, (own_pos ratio boundary ds Steps).
  - apply Rle_trans with (1 := move_unit ratio boundary ds ratio_range Steps k st1 st2 Hk I T q).
    apply real_le. rewrite (p_vmove (proj2 T)). unfold move_for. rewrite cell_key.
    apply Z.add_le_mono_l, peak_ok. rewrite (p_cell_early (proj1 T)).
    destruct (d_base (D k)); [reflexivity|]. apply (p_ascending (proj1 T)).
Qed.
End Unit.
End Walked.

(* map: of all units that the fast walk visits, the numbers are right *)
Theorem walk_ok ratio boundary items st seen net : (0 <= ratio <= 2 ^ 22)%Z ->
  walk ratio boundary items start [] = Some (st, seen) -> units_of items = map strip (cunits net) ->
  (forall k o, nth_error (cunits net) k = Some o -> forall j, In j (reads_of o) ->
    (num j < k)%nat) ->
  length seen = length (cunits net) /\
  forall dual, exists d : numbers, n_dual d = dual /\
    (forall k o, nth_error (cunits net) k = Some o -> unit_facts net d k o (strip o)) /\
    (forall k o, nth_error (cunits net) k = Some o ->
      (rest_of (n_row d) o (row_nat d k) < r_rest (row_nat d k))%Z) /\
    (forall k v, nth_error (rev seen) k = Some v ->
      (forall j, core (annotation_of net d) k j =
        coef (core_of (Backward.v_op v) (Backward.v_slope v)) j) /\
      rho (annotation_of net d) k <= real (Backward.v_rho v) /\
      (forall q, remainder (annotation_of net d) q k <= real (Backward.v_rem v) +
        coef (Backward.v_early v) q) /\
      (forall q, 0 <= move (annotation_of net d) q k <= real (Backward.v_move v))).
Proof.
  intros Hr W U Ordered. destruct (walk_history _ _ _ _ _ _ _ W) as (ds & H & Ho & Hs).
  rewrite app_nil_r in Hs. destruct (kept_invariant _ _ _ _ H) as [_ Steps]. rewrite U in Ho.
  assert (N := count ds net Ho).
  assert (Hv : rev seen = map d_visited ds) by (rewrite Hs; apply rev_involutive). split.
  - rewrite <- (length_rev seen), Hv, length_map. exact N.
  - intros dual. exists (numbers_of ds dual). split; [reflexivity|]. split; [|split].
    + intros k o E. now apply (facts_walked ratio boundary ds net dual).
    + intros k o E. now apply (rest_walked ratio boundary ds net dual).
    + intros k v E. rewrite Hv, nth_error_map in E.
      destruct (nth_error ds k) as [x|] eqn:Ex; [|discriminate].
      assert (Vx : d_visited (D ds k) = v)
        by (unfold D; rewrite (nth_error_nth _ _ _ Ex); cbn [option_map] in E;
        congruence).
      assert (Hk : (k < length (cunits net))%nat)
        by (rewrite <- N; apply nth_error_Some; congruence).
      assert (Eo := unit_is net k Hk). rewrite <- Vx. split; [|split; [|split]].
      * intros j.
        apply (core_walked ratio boundary ds net dual) with (o := unit_at net k); assumption.
      * apply (rho_walked ratio boundary ds net dual) with (o := unit_at net k); assumption.
      * intros q.
        apply (remainder_walked ratio boundary ds net dual) with (o := unit_at net k); assumption.
      * intros q.
        apply (move_walked ratio boundary ds net dual) with (o := unit_at net k); assumption.
Qed.
