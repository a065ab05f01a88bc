(** * The numbers of a walk

    - [numbers_of]: rows, columns, and bounds for each pixel, from the units visited;
    - [base_tame]: what a base adds to its change is small, measured by its error;
    - [gap_ok], [gap_own_ok]: what readers miss of a unit's columns, times errors and times changes.

    Rests on WalkForms.v and WalkState.v. Stands behind columns.py and changes.py. *)

From Coq Require Import Reals Lra Lia ZArith List Bool FMapPositive Uint63.
From Lastbit Require Import Totals network.Duals network.Forms checker.Program checker.Numbers
  checker.Vectors
  checker.Annotation.
From Lastbit Require Import fast.Walk fast.WalkForms fast.LineSums fast.Stored fast.LineKeys.
From Lastbit Require Import fast.WalkEarly fast.WalkSteps fast.Mixed fast.WalkLines
  fast.WalkHistory fast.WalkState.
Import ListNotations.
Open Scope R_scope.

(** ** Sums of integers over 2^200 *)

Lemma weighed_sum (f : positive -> Z) l :
  total (map (fun x => Rabs (real (fst x)) * real (f (snd x))) l) <=
  real (up (zsum (map (fun w => (Z.abs (fst w) * f (snd w))%Z) l))).
Proof.
  apply Rle_trans with (2 := up_real _). right. rewrite zsum_number, map_map.
  transitivity (/ 2 ^ 100 * / 2 ^ 100 * total (map (fun w => IZR (Z.abs (fst w) * f (snd w))) l));
    [|lra].
  rewrite <- total_map_scale. apply total_map_ext. intros x _. rewrite mult_IZR, <- real_abs.
  unfold real. lra.
Qed.

Section Walked.
Variables (ratio : Z) (boundary : int) (ds : list details).
Hypothesis ratio_range : (0 <= ratio <= 2 ^ 22)%Z.
Hypothesis Steps : all_taken ratio boundary ds.

Notation D := (D ds).
Notation own_mark := (own_mark ds).
Notation seen_mark := (seen_mark ds).
Notation base_at := (base_at ds).

(** ** The numbers *)

(** The cell and the row of a unit, and its change for pixel [q]. *)
Definition cell_for (p : positive) : cell := d_cell (D (num p)).
Definition row_for (p : positive) : row := row_of_cell (cell_for p).
Definition err_of (g : nat) : R := real (r_err (row_for (key g))).
Definition move_for (q : nat) (p : positive) : Z :=
  (val (c_move (cell_for p)) + early_at (c_early (cell_for p)) q)%Z.

(** What a unit adds to its change, for pixel [q]. *)
Definition own_for (q : nat) (p : positive) : Z :=
  (val (c_own (cell_for p)) + early_at (c_early (cell_for p)) q)%Z.
Definition own_of (q g : nat) : R := real (own_for q (key g)).

(** The numbers of the whole walk, in the form that Annotation.v reads. *)
Definition numbers_of (dual : nat -> nat -> nat -> R) : numbers := {|
  n_row := row_for;
  n_cols := per err_of own_mark;
  n_move := move_for;
  n_bend q p := bend_by row_for q (move_for q) (d_op (D (num p))) (row_for p);
  n_rem q p := change_of row_for q (move_for q) (d_op (D (num p))) (r_slope (row_for p));
  n_own := own_for;
  n_dual := dual |}.

Lemma cell_key k : cell_for (key k) = d_cell (D k).
Proof. unfold cell_for. now rewrite num_key. Qed.

Lemma row_key k : row_for (key k) = row_of_cell (d_cell (D k)).
Proof. unfold row_for. now rewrite cell_key. Qed.

Lemma beyond k : (length ds <= k)%nat -> D k = no_details.
Proof. intros H. now apply nth_overflow. Qed.

Lemma err_pos g : 0 <= err_of g.
Proof.
  unfold err_of. rewrite row_key. apply real_pos. destruct (Nat.lt_ge_cases g (length ds)) as [H|H].
  - destruct (Steps g H) as (st1 & st2 & _ & S & _). apply (p_err_pos S).
  - rewrite (beyond g H). cbn. lia.
Qed.

Lemma own_pos q g : (0 <= own_for q (key g))%Z.
Proof.
  unfold own_for. rewrite cell_key. destruct (Nat.lt_ge_cases g (length ds)) as [H|H].
  - destruct (Steps g H) as (st1 & st2 & _ & S & _). rewrite (p_cell_early S).
    assert (P := p_own_pos S). assert (Q := early_pos _ q (p_nonneg S)).
    destruct (d_base (D g)); apply Z.add_nonneg_nonneg; assumption || apply Z.le_refl.
  - rewrite (beyond g H). cbn. lia.
Qed.

(** How large the change of a base is at most, in errors. *)
Definition most (g : nat) : R :=
  if (Z.of_nat g <? Uint63.to_Z boundary)%Z then IZR ratio / 2 ^ 20 else 4.

Lemma most_range g : 0 <= most g <= 4.
Proof.
  unfold most. destruct ratio_range as [H1 H2]. apply IZR_le in H1, H2.
  change (IZR (2 ^ 22)) with (4194304)%R in H2. destruct (_ <? _)%Z; lra.
Qed.

Lemma base_below g : base_at g -> (g < length ds)%nat.
Proof.
  intros H. destruct (Nat.lt_ge_cases g (length ds)) as [L|L]; [exact L|].
  unfold WalkState.base_at in H. rewrite (beyond g L) in H. discriminate.
Qed.

Lemma base_tame q g : base_at g -> 0 <= own_of q g <= most g * err_of g.
Proof.
  intros B. split; [apply real_pos, own_pos|].
  destruct (Steps g (base_below g B)) as (st1 & st2 & I & S & _). assert (T := p_tame S B).
  rewrite (i_next I) in T. unfold own_of, own_for, err_of.
  rewrite cell_key, row_key, (p_cell_early S). unfold WalkState.base_at in B. rewrite B.
  change (early_at [] q) with 0%Z. rewrite Z.add_0_r.
  assert (K : Z.pred (Zpos (key g)) = Z.of_nat g) by (unfold key; lia). unfold tame in T.
  rewrite K in T. unfold most. destruct (Z.of_nat g <? _)%Z; apply Z.leb_le in T; apply IZR_le in T.
  - rewrite Z.shiftl_mul_pow2, !mult_IZR in T by lia. change (IZR (2 ^ 20)) with (1048576)%R in T.
    unfold real. lra.
  - rewrite mult_IZR in T. unfold real. lra.
Qed.

(** ** Marks *)

Lemma own_only k g : (k < length ds)%nat -> own_mark k g <> 0 -> base_at g /\ (g < k)%nat.
Proof.
  intros Hk N. destruct (Steps k Hk) as (st1 & st2 & I & T). unfold WalkState.own_mark, made in N.
  destruct (d_columns (D k)) as [[[t s] p]|] eqn:E; [|easy].
  destruct (columns_fine _ _ _ _ _ _ I T t s p E) as [G _].
  apply (mark_only boundary k base_at s g G). intros Z. apply N. rewrite Z. ring.
Qed.

Lemma seen_only k g : (k < length ds)%nat -> seen_mark k g <> 0 -> base_at g.
Proof.
  intros Hk. unfold WalkState.seen_mark.
  destruct (d_base (D k)) eqn:B; [|intros N; now apply (own_only k g Hk)]. intros N.
  destruct (Steps k Hk) as (st1 & st2 & I & T). destruct (base_marks _ _ _ _ _ _ I T B) as [G _].
  now apply (mark_only boundary (S k) base_at _ g G).
Qed.

Lemma own_before k g : (k < length ds)%nat -> (k <= g)%nat -> own_mark k g = 0.
Proof.
  intros Hk Hg. destruct (Req_dec (own_mark k g) 0) as [E|N]; [exact E|].
  apply (own_only k g Hk) in N. lia.
Qed.

Notation whole_mark := (whole_mark err_of own_mark).

(** What a reader's line misses. *)
Lemma gap_ok j k : (j < length ds)%nat -> (j < k)%nat ->
  over k (fun g => Rabs (whole_mark j g - seen_mark j g)) <= real (val (c_gap (d_cell (D j)))).
Proof.
  intros Hj Hk. destruct (Steps j Hj) as (st1 & st2 & I & T).
  assert (W : forall g, whole_mark j g = own_mark j g + (if (g =? j)%nat then err_of j else 0)).
  { intros g. unfold WalkForms.whole_mark. destruct (Nat.ltb_spec g j) as [L|L].
    - destruct (Nat.eqb_spec g j); [lia|ring].
    - rewrite (own_before j g Hj L). ring. }
  destruct (d_base (D j)) eqn:B.
  - destruct (base_marks _ _ _ _ _ _ I T B) as [_ V]. apply Rle_trans with (2 := V k). right.
    apply over_ext. intros g _. rewrite W. unfold err_of. now rewrite row_key.
  - destruct (p_gap (proj1 T) B) as [G _]. apply Rle_trans with (2 := real_le _ _ G).
    rewrite (over_one k j _ Hk).
    + rewrite W, Nat.eqb_refl. unfold WalkState.seen_mark. rewrite B.
      replace (_ - _) with (err_of j) by ring. rewrite (Rabs_pos_eq _ (err_pos j)). unfold err_of.
      rewrite row_key. apply Rle_refl.
    + intros g _ N. rewrite W. unfold WalkState.seen_mark. rewrite B.
      destruct (Nat.eqb_spec g j); [easy|]. replace (_ - _) with 0 by ring. apply Rabs_R0.
Qed.

Lemma gap_own_ok q j k : (j < length ds)%nat -> (j < k)%nat ->
  over k (fun g =>
    Rabs (column (per err_of own_mark) j g - per err_of seen_mark j g) * own_of q g) <=
  real (val (c_gap_own (d_cell (D j)))) + real (early_at (c_early (d_cell (D j))) q).
Proof.
  intros Hj Hk. destruct (Steps j Hj) as (st1 & st2 & I & T).
  assert (P : forall g, 0 <= own_of q g) by (intros;
    apply real_pos, own_pos).
  rewrite (p_cell_early (proj1 T)). destruct (d_base (D j)) eqn:B.
  - destruct (p_new (proj2 T) B) as (_ & _ & l & off & _ & _ & _ & _ & _ & G).
    change (early_at [] q) with 0%Z. rewrite real_0, Rplus_0_r.
    apply Rle_trans with (2 := real_le _ _ G). rewrite real_scale.
    apply column_bases with (base := base_at).
    + exact err_pos.
    + exact P.
    + intros g Bg. apply Rle_trans with (1 := proj2 (base_tame q g Bg)). apply Rmult_le_compat_r;
        [apply err_pos|apply most_range].
    + exact B.
    + intros g N. now apply (own_only j g Hj).
    + intros g N. now apply (seen_only j g Hj).
    + now apply gap_ok.
  - destruct (p_gap (proj1 T) B) as [_ ->].
    apply Rle_trans with (own_of q j).
    + apply column_owns; [exact P|exact Hk| |].
      * intros g. unfold WalkState.seen_mark. now rewrite B.
      * intros g Hg. now apply own_before.
    + right. unfold own_of, own_for. rewrite cell_key, (p_cell_early (proj1 T)), B. apply real_plus.
Qed.
End Walked.
