(** * The network and the annotation that the checker's data stand for

    - [network_of]: the network of Statement.v that a [cnet] stands for: the same units, with
      numbers [z / 2^100];
    - [annotation_of]: the rows of a certificate as an annotation of Bound.v;
    - [row_facts]: what [good_row] has decided, inequality by inequality;
    - [magnitude_ok], [move_ok], [range_ok]: ranges and changes are within the rows' numbers.

    Rests on Numbers.v and Bound.v. *)

From Coq Require Import Reals Lra Lia ZArith List Bool.
From Lastbit Require Import Statement Totals operations.Units network.Forms network.Bound.
From Lastbit Require Import checker.Program checker.Numbers.
Import ListNotations.
Open Scope R_scope.

Definition denote (o : cunit) : operation :=
  match o with
  | CPixel p => Pixel p
  | CLinear ws bs => Linear (entries ws) (map real bs)
  | CQuotient j c => Quotient (num j) (real c)
  | CMean js => Mean (map num js)
  | CSigmoid j => Sigmoid (num j)
  | CSilu j => Silu (num j)
  | CGate i j => Gate (num i) (num j)
  | CAdd i j => Add (num i) (num j)
  end.

Definition network_of (net : cnet) : network :=
  {| pixels := cpixels net; units := map denote (cunits net); logits := map num (clogits net) |}.

Section Annotation.
Variables (net : cnet) (crt : cert).

Definition row_at (k : positive) : row := row_of (c_rows crt) k.
Definition row_nat (k : nat) : row := row_at (key k).
Definition unit_at (k : nat) : cunit := nth k (cunits net) (CPixel 0).
Definition core_at (k : nat) : sparse := core_of (unit_at k) (r_slope (row_nat k)).
Definition kept_at (k : nat) : sparse := kept_of (unit_at k) (row_nat k).

Definition annotation_of : annotation := {|
  centre k := real (r_centre (row_nat k));
  columns k g := coef (r_cols (row_nat k)) g;
  offset k := real (offset_of (unit_at k) (r_off (row_nat k)));
  kept k j := coef (kept_at k) j;
  rest k := real (r_rest (row_nat k));
  rho k := real (r_rho (row_nat k));
  err k := real (r_err (row_nat k));
  bend q k := real (entry q (r_bend (row_nat k)));
  own q k := real (entry q (r_own (row_nat k)));
  core k j := coef (core_at k) j;
  remainder q k := real (entry q (r_rem (row_nat k)));
  dual c j k := real (entry c (r_duals (row_nat k))) - real (entry j (r_duals (row_nat k)))
|}.

(** What is asked of row [r] of unit [o], number [k]. *)
Record row_facts (k : positive) (o : cunit) (r : row) : Prop := {
  f_reads : forall j, In j (reads_of o) -> (num j < num k)%nat;
  f_cols : forall x, In x (r_cols r) -> (num (snd x) < num k)%nat;
  f_fits : fits row_at (whole_of row_at k) o = true;
  f_rho_pos : (0 <= r_rho r)%Z;
  f_whole : (0 <= whole_of row_at k)%Z;
  f_rho : (rounding_of row_at (whole_of row_at k) o <= r_rho r)%Z;
  f_tame : (r_rho r <= limit)%Z;
  f_rest : (rest_of row_at o r <= r_rest r)%Z;
  f_box : r_box r = true -> may_box o = true;
  f_rem : forall q, (entry q (change_rest row_at o (r_slope r)) <= entry q (r_rem r))%Z;
  f_bend : forall q, (entry q (bend_of row_at o r) <= entry q (r_bend r))%Z;
  f_err_pos : (0 <= r_err r)%Z;
  f_err : (own_error row_at o r <= r_err r)%Z;
  f_own_pos : forall q, (0 <= entry q (r_own r) <= c_cap crt)%Z;
  f_own : forall q, (entry q (own_change row_at (cpixels net) (c_cap crt) o r) <= entry q (r_own r))%Z;
  f_rad : (radius_of row_at r <= r_rad r)%Z;
  f_move : forall q, (entry q (moves_of row_at r) <= entry q (r_move r))%Z;
  f_mag : (mag row_at k <= limit)%Z
}.

Hypothesis Hcap : (0 <= c_cap crt)%Z.
Hypothesis good : forallb (good_row row_at (cpixels net) (c_cap crt)) (numbered 1 (cunits net)) = true.

Lemma facts k o : nth_error (cunits net) k = Some o -> row_facts (key k) o (row_nat k).
Proof.
  intros H. apply numbered_nth in H. rewrite forallb_forall in good. specialize (good _ H).
  unfold good_row in good. fold (row_nat k) in good. fold (row_at (key k)) in good. fold (row_nat k) in good.
  rewrite !andb_true_iff, !Z.leb_le in good.
  destruct good as [[[[[[[[[[[[[[[[[A1 A2] A3] A3a] A3b] A4] A5] A6] A6a] A6b] A7] A8] A9] A10] A11] A12] A13] A14].
  rewrite forallb_forall in A1, A2. split; try assumption.
  - intros j Hj. specialize (A1 j Hj). apply Pos.ltb_lt in A1. now apply num_lt.
  - intros x Hx. specialize (A2 x Hx). apply Pos.ltb_lt in A2. now apply num_lt.
  - intros B. rewrite B in A6a. exact A6a.
  - intros q. now apply vle_nth.
  - intros q. now apply vle_nth.
  - intros q. apply (all_nth (fun x => (0 <=? x)%Z && (x <=? c_cap crt)%Z) (fun x => (0 <= x <= c_cap crt)%Z)); [| |exact A10].
    + intros x Hx. rewrite andb_true_iff, !Z.leb_le in Hx. exact Hx.
    + lia.
  - intros q. now apply vle_nth.
  - intros q. now apply vle_nth.
Qed.

Let n := length (cunits net).

Lemma unit_is k : (k < n)%nat -> nth_error (cunits net) k = Some (unit_at k).
Proof. intros H. now apply nth_error_nth'. Qed.

Lemma facts_at k : (k < n)%nat -> row_facts (key k) (unit_at k) (row_nat k).
Proof. intros H. now apply facts, unit_is. Qed.

(** The row of a unit that an earlier one reads or has a column for. *)
Lemma facts_below k j : (k < n)%nat -> (num j < k)%nat -> row_facts j (unit_at (num j)) (row_at j).
Proof. intros H Hj. generalize (facts_at (num j) ltac:(lia)). unfold row_nat. now rewrite key_num. Qed.

Lemma units_nth k o : nth_error (units (network_of net)) k = Some o ->
  (k < n)%nat /\ o = denote (unit_at k).
Proof.
  cbn [units network_of]. rewrite nth_error_map. destruct (nth_error (cunits net) k) as [c|] eqn:E; [|discriminate].
  intros [= <-]. split; [apply nth_error_Some; congruence|]. f_equal. unfold unit_at. now rewrite (nth_error_nth _ _ _ E).
Qed.

Lemma operands_denote o : operands (denote o) = map num (reads_of o).
Proof. destruct o; cbn; try reflexivity. unfold entries. now rewrite !map_map. Qed.

(** ** Weighted sums of entries *)

Lemma weigh_real f l : IZR (weigh f l) / 2 ^ 100 / 2 ^ 100 =
  total (map (fun x => Rabs (real (fst x)) * real (f (snd x))) l).
Proof.
  unfold weigh. induction l as [|x l IH]; [unfold total; simpl; lra|].
  cbn [map zsum fold_right]. fold (zsum (map (fun x => (Z.abs (fst x) * f (snd x))%Z) l)).
  change (total (?a :: ?b)) with (a + total b). rewrite <- IH, plus_IZR, mult_IZR, <- real_abs. unfold real. lra.
Qed.

Lemma weigh_ok k f l F : (forall x, In x l -> 0 <= F (num (snd x)) <= real (f (snd x))) ->
  over k (fun g => Rabs (coef l g) * F g) <= real (up (weigh f l)).
Proof.
  intros H. apply Rle_trans with (2 := up_real _). rewrite weigh_real.
  apply Rle_trans with (1 := coef_bound k l F (fun x Hx => proj1 (H x Hx))).
  apply total_map_le. intros x Hx. apply Rmult_le_compat_l; [apply Rabs_pos|now apply H].
Qed.

Lemma vweigh_entry f l q : entry q (vup (vweigh f l)) = up (weigh (fun g => entry q (f g)) l).
Proof.
  rewrite nth_vup. unfold vweigh. rewrite nth_vsum. unfold weigh. now rewrite map_map.
Qed.

(** ** Ranges and changes *)

Lemma radius_ok k : (k < n)%nat ->
  radius (columns annotation_of) (err annotation_of) k <= real (r_rad (row_nat k)).
Proof.
  intros Hk. assert (F := facts_at k Hk). apply Rle_trans with (2 := real_le _ _ (f_rad _ _ _ F)).
  unfold radius, radius_of. rewrite real_plus. apply Rplus_le_compat_r. cbn [columns err annotation_of].
  apply (weigh_ok k (fun g => r_err (row_at g)) _ (fun g => real (r_err (row_nat g)))).
  intros x Hx. assert (L := f_cols _ _ _ F x Hx). rewrite num_key in L. unfold row_nat. rewrite key_num.
  split; [|apply Rle_refl]. apply real_pos. now apply (f_err_pos _ _ _ (facts_below k _ Hk L)).
Qed.

Lemma move_ok q k : (k < n)%nat -> move annotation_of q k <= real (entry q (r_move (row_nat k))).
Proof.
  intros Hk. assert (F := facts_at k Hk). apply Rle_trans with (2 := real_le _ _ (f_move _ _ _ F q)).
  unfold move, radius, moves_of. rewrite nth_vadd, real_plus, vweigh_entry. apply Rplus_le_compat_r. cbn [columns own annotation_of].
  apply (weigh_ok k (fun g => entry q (r_own (row_at g))) _ (fun g => real (entry q (r_own (row_nat g))))).
  intros x Hx. assert (L := f_cols _ _ _ F x Hx). rewrite num_key in L. unfold row_nat. rewrite key_num.
  split; [|apply Rle_refl]. apply real_pos. now apply (f_own_pos _ _ _ (facts_below k _ Hk L)).
Qed.

Lemma magnitude_ok k : (k < n)%nat -> magnitude annotation_of k <= real (mag row_at (key k)).
Proof.
  intros Hk. assert (R := radius_ok k Hk). unfold magnitude, mag. rewrite real_plus, real_abs. cbn [centre annotation_of] in *.
  unfold row_nat in *. lra.
Qed.

Lemma whole_ok k : (k < n)%nat -> whole annotation_of k <= real (whole_of row_at (key k)) <= 2 ^ 20.
Proof.
  intros Hk. assert (M := magnitude_ok k Hk). assert (F := facts_at k Hk). unfold whole, whole_of. rewrite real_minus.
  cbn [rho annotation_of]. unfold row_nat in *. assert (R := real_pos _ (f_rho_pos _ _ _ F)).
  assert (L := real_le _ _ (f_mag _ _ _ F)). unfold limit, real at 2 in L. rewrite mult_IZR, one_is in L. lra.
Qed.

Lemma magnitude_low k : (k < n)%nat -> 0 <= radius (columns annotation_of) (err annotation_of) k /\
  0 <= magnitude annotation_of k.
Proof.
  intros Hk. assert (P : 0 <= radius (columns annotation_of) (err annotation_of) k).
  { unfold radius. apply Rplus_le_le_0_compat.
    - apply over_pos. intros j Hj. apply Rmult_le_pos; [apply Rabs_pos|]. cbn [err annotation_of]. apply real_pos.
      apply (f_err_pos _ _ _ (facts_at j ltac:(lia))).
    - cbn [err annotation_of]. apply real_pos, (f_err_pos _ _ _ (facts_at k Hk)). }
  split; [exact P|]. unfold magnitude. generalize (Rabs_pos (centre annotation_of k)). lra.
Qed.

Lemma move_low q k : (k < n)%nat -> 0 <= move annotation_of q k.
Proof.
  intros Hk. unfold move, radius. apply Rplus_le_le_0_compat.
  - apply over_pos. intros j Hj. apply Rmult_le_pos; [apply Rabs_pos|]. cbn [own annotation_of]. apply real_pos.
    apply (f_own_pos _ _ _ (facts_at j ltac:(lia))).
  - cbn [own annotation_of]. apply real_pos, (f_own_pos _ _ _ (facts_at k Hk)).
Qed.

Lemma range_ok k t : (k < n)%nat -> within annotation_of k t ->
  real (low row_at (key k)) <= t <= real (high row_at (key k)).
Proof.
  intros Hk W. assert (R := radius_ok k Hk). unfold within in W. cbn [centre annotation_of] in W.
  unfold low, high. rewrite real_plus, real_minus. fold (row_nat k).
  assert (K : Rabs (t - real (r_centre (row_nat k))) <= real (r_rad (row_nat k))) by lra.
  unfold Rabs in K. destruct Rcase_abs in K; lra.
Qed.

Lemma mag_limit k : (k < n)%nat -> real (mag row_at (key k)) <= 2 ^ 20.
Proof.
  intros Hk. apply Rle_trans with (1 := real_le _ _ (f_mag _ _ _ (facts_at k Hk))).
  unfold limit, real. rewrite mult_IZR, one_is. lra.
Qed.
End Annotation.
