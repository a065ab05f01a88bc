(** * The network and the annotation that a checker's data stand for

    - [network_of]: the network of Statement.v that a [cnet] stands for: the same units, with
      numbers [z / 2^100];
    - [numbers]: what is said of the units, wherever it is kept; [annotation_of]: the same as an
      annotation of Bound.v;
    - [unit_facts]: the inequalities asked of one unit. Columns are real numbers here: a checker may
      keep them in any form;
    - [magnitude_ok], [move_ok], [range_ok]: ranges and changes are within the rows' numbers.

    Rests on Numbers.v and Bound.v. Facts.v has what follows for the network; Columns.v meets the
    facts for the rows that Program.v accepts. *)

From Coq Require Import Reals Lra Lia ZArith List Bool.
From Lastbit Require Import Statement Totals operations.Units network.Duals network.Forms
  network.Bound.
From Lastbit Require Import checker.Program checker.Numbers checker.Vectors.
From Lastbit Require operations.Convolution.
Import ListNotations.
Open Scope R_scope.

Notation weighted := Convolution.weighted.
Notation constants := Convolution.constants.

(** The divisor of all terms, if there is one. *)
Definition divisor (over : option Z) : list factor := match over with None => [] | Some c =>
  [Over (real c)] end.

Definition denote (o : cunit) : operation :=
  match o with
  | CPixel p => Pixel p
  | CLinear ws bs over => Sum (weighted (divisor over) (entries ws)) (constants (map real bs))
  | CSigmoid j => Sigmoid (num j)
  | CSilu j => Silu (num j)
  | CGate i j => Gate (num i) (num j)
  end.

Definition network_of (net : cnet) : network :=
  {| pixels := cpixels net; units := map denote (cunits net); logits := map num (clogits net) |}.

Definition unit_at (net : cnet) (k : nat) : cunit := nth k (cunits net) (CPixel 0).

Lemma unit_is net k : (k < length (cunits net))%nat ->
  nth_error (cunits net) k = Some (unit_at net k).
Proof. intros H. now apply nth_error_nth'. Qed.

Lemma units_nth net k o : nth_error (units (network_of net)) k = Some o ->
  (k < length (cunits net))%nat /\ o = denote (unit_at net k).
Proof.
  cbn [units network_of]. rewrite nth_error_map.
  destruct (nth_error (cunits net) k) as [c|] eqn:E; [|discriminate]. intros [= <-].
  split; [apply nth_error_Some; congruence|]. f_equal. unfold unit_at.
  now rewrite (nth_error_nth _ _ _ E).
Qed.

Lemma operands_denote o : operands (denote o) = map num (reads_of o).
Proof. destruct o; cbn; try reflexivity. unfold weighted, entries. now rewrite !map_map. Qed.

Lemma core_in_reads o m x : In x (core_of o m) -> In (snd x) (reads_of o).
Proof.
  destruct o as [p|ws bs [c|]|j|j|i j]; cbn [core_of shares reads_of]; intros H;
    try (destruct H as [<-|[]]; now left).
  - easy.
  - apply in_map_iff in H. destruct H as (w & <- & Hw). cbn [snd]. now apply in_map.
  - now apply in_map.
Qed.

Lemma kept_in_reads o r x : In x (kept_of o r) -> In (snd x) (reads_of o).
Proof. unfold kept_of. destruct (r_box r); [easy|apply core_in_reads]. Qed.

(** What is said of the units; [q] is a pixel. Of a row the lists are not used. *)
Record numbers := {
  n_row : positive -> row;
  n_cols : nat -> nat -> R;            (* columns of unit k for unit g *)
  n_move : nat -> positive -> Z;       (* q, unit: bound of its change *)
  n_bend : nat -> positive -> Z;       (* q, unit: what its form leaves of a change *)
  n_rem : nat -> positive -> Z;        (* q, unit: what the core of the duals leaves of it *)
  n_own : nat -> positive -> Z;        (* q, unit: what it adds to its change *)
  n_dual : nat -> nat -> nat -> R      (* classes c, j; unit *)
}.

Section Annotation.
Variables (net : cnet) (d : numbers).

Notation at_ := (n_row d).
Notation n := (length (cunits net)).

Definition row_nat (k : nat) : row := at_ (key k).
Definition core_at (k : nat) : sparse := core_of (unit_at net k) (r_slope (row_nat k)).
Definition kept_at (k : nat) : sparse := kept_of (unit_at net k) (row_nat k).

Definition annotation_of : annotation := {|
  centre k := real (r_centre (row_nat k));
  columns := n_cols d;
  offset k := real (offset_of (unit_at net k) (r_off (row_nat k)));
  kept k j := coef (kept_at k) j;
  rest k := real (r_rest (row_nat k));
  rho k := real (r_rho (row_nat k));
  err k := real (r_err (row_nat k));
  bend q k := real (n_bend d q (key k));
  own q k := real (n_own d q (key k));
  core k j := coef (core_at k) j;
  remainder q k := real (n_rem d q (key k));
  dual := n_dual d
|}.

(** How far the centre of a row is from what its form makes of the centres it reads. *)
Lemma centre_gap_ok at_ o r k : (forall x, In x (kept_of o r) -> (num (snd x) < k)%nat) ->
  Rabs (real (offset_of o (r_off r)) +
    read_through (fun _ j => coef (kept_of o r) j) (fun g => real (r_centre (at_ (key g)))) k - real
    (r_centre r)) <=
  real (up (Z.abs (centre_gap at_ o r))).
Proof.
  intros B. apply Rle_trans with (2 := up_real _). right.
  rewrite abs_IZR. unfold read_through. rewrite (coef_sum k (kept_of o r) _ B).
  replace (total (map (fun w => real (fst w) * real (r_centre (at_ (key (num (snd w))))))
    (kept_of o r))) with
    (IZR
      (zsum (map (fun w => (fst w * r_centre (at_ (snd w)))%Z) (kept_of o r))) / 2 ^ 100 / 2 ^ 100).
  - unfold centre_gap. rewrite minus_IZR, plus_IZR, !mult_IZR, one_is.
    set (s := zsum _). set (a := offset_of _ _). set (c := r_centre r). unfold real.
    replace (IZR a / 2 ^ 100 + IZR s / 2 ^ 100 / 2 ^ 100 - IZR c / 2 ^ 100) with
      ((IZR a * 2 ^ 100 + IZR s - IZR c * 2 ^ 100) * (/ 2 ^ 100 * / 2 ^ 100)) by (field).
    rewrite Rabs_mult, (Rabs_pos_eq (/ 2 ^ 100 * / 2 ^ 100)) by lra. lra.
  - rewrite zsum_number, map_map.
    transitivity (/ 2 ^ 100 * / 2 ^ 100 * total
      (map (fun w => IZR (fst w * r_centre (at_ (snd w)))) (kept_of o r))); [lra|].
    rewrite <- total_map_scale. apply total_map_ext. intros x _. rewrite key_num, mult_IZR.
    unfold real. lra.
Qed.

(** What is asked of unit [k], of operands and terms as in [o]. [s] may be the same unit without
    terms of weight 0, see Facts.v. *)
Record unit_facts (k : nat) (o s : cunit) : Prop := {
  f_reads : forall j, In j (reads_of o) -> (num j < k)%nat;
  f_fits : exists F, (whole_of at_ (key k) <= F)%Z /\ (0 <= F <= limit)%Z /\ fits at_ s = true /\
    (rounding_of at_ F s <= r_rho (row_nat k))%Z;
  f_rho : (0 <= r_rho (row_nat k) <= limit)%Z;
  f_rest : (rest_of at_ s (row_nat k) <= r_rest (row_nat k))%Z;
  f_box : r_box (row_nat k) = true -> may_box s = true;
  f_rem : forall q, (q < cpixels net)%nat ->
  (change_of at_ q (n_move d q) s (r_slope (row_nat k)) <= n_rem d q (key k))%Z;
  f_bend : forall q, (q < cpixels net)%nat ->
  (bend_by at_ q (n_move d q) s (row_nat k) <= n_bend d q (key k))%Z;
  f_err_pos : (0 <= r_err (row_nat k))%Z;
  f_own_pos : forall q, (q < cpixels net)%nat -> (0 <= n_own d q (key k))%Z;
  f_mag : (mag at_ (key k) <= limit)%Z;
  f_rad : radius (n_cols d) (fun g => real (r_err (row_nat g))) k <= real (r_rad (row_nat k));
  f_move : forall q, (q < cpixels net)%nat ->
    radius (n_cols d) (fun g => real (n_own d q (key g))) k <= real (n_move d q (key k));
  f_errors : local_error (fun _ => real (offset_of s (r_off (row_nat k)))) (fun _ j =>
    coef (kept_of s (row_nat k)) j)
    (fun g => real (r_centre (row_nat g))) (n_cols d)
    (fun _ => real (r_rest (row_nat k)) + real (r_rho (row_nat k))) (fun g =>
      real (r_err (row_nat g))) k;
  f_owns : forall q, (q < cpixels net)%nat ->
  local_error (fun _ => 0) (fun _ j => coef (kept_of s (row_nat k)) j)
    (fun _ => 0) (n_cols d)
    (fun _ => real (n_bend d q (key k)) + 2 * real (r_rho (row_nat k))) (fun g =>
      real (n_own d q (key g))) k
}.

Hypothesis facts : forall k o, nth_error (cunits net) k = Some o -> unit_facts k o o.

Lemma facts_at k : (k < n)%nat -> unit_facts k (unit_at net k) (unit_at net k).
Proof. intros H. now apply facts, unit_is. Qed.

(** ** Ranges and changes *)

Lemma radius_ok k : (k < n)%nat ->
  radius (columns annotation_of) (err annotation_of) k <= real (r_rad (row_nat k)).
Proof. intros Hk. exact (f_rad _ _ _ (facts_at k Hk)). Qed.

Lemma move_ok q k : (q < cpixels net)%nat -> (k < n)%nat ->
  move annotation_of q k <= real (n_move d q (key k)).
Proof. intros Hq Hk. exact (f_move _ _ _ (facts_at k Hk) q Hq). Qed.

Lemma magnitude_ok k : (k < n)%nat -> magnitude annotation_of k <= real (mag at_ (key k)).
Proof.
  intros Hk. assert (R := radius_ok k Hk). unfold magnitude, mag. rewrite real_plus, real_abs.
  cbn [centre annotation_of] in *. unfold row_nat in *. lra.
Qed.

Lemma limit_is : real limit = 2 ^ 20.
Proof. unfold limit. rewrite real_scale, real_one. lra. Qed.

Lemma whole_ok k : (k < n)%nat -> whole annotation_of k <= real (whole_of at_ (key k)).
Proof.
  intros Hk. assert (M := magnitude_ok k Hk). unfold whole, whole_of. rewrite real_minus.
  cbn [rho annotation_of]. unfold row_nat. lra.
Qed.

Lemma magnitude_low k : (k < n)%nat -> 0 <= radius (columns annotation_of) (err annotation_of) k /\
  0 <= magnitude annotation_of k.
Proof.
  intros Hk. assert (P : 0 <= radius (columns annotation_of) (err annotation_of) k).
  { unfold radius. apply Rplus_le_le_0_compat.
    - apply over_pos. intros j Hj. apply Rmult_le_pos; [apply Rabs_pos|]. cbn [err annotation_of].
      apply real_pos. apply (f_err_pos _ _ _ (facts_at j ltac:(lia))).
    - cbn [err annotation_of]. apply real_pos, (f_err_pos _ _ _ (facts_at k Hk)). }
  split; [exact P|]. unfold magnitude. generalize (Rabs_pos (centre annotation_of k)). lra.
Qed.

Lemma move_low q k : (q < cpixels net)%nat -> (k < n)%nat -> 0 <= move annotation_of q k.
Proof.
  intros Hq Hk. unfold move, radius. apply Rplus_le_le_0_compat.
  - apply over_pos. intros j Hj. apply Rmult_le_pos; [apply Rabs_pos|]. cbn [own annotation_of].
    apply real_pos. apply (f_own_pos _ _ _ (facts_at j ltac:(lia)) q Hq).
  - cbn [own annotation_of]. apply real_pos, (f_own_pos _ _ _ (facts_at k Hk) q Hq).
Qed.

Lemma range_ok k t : (k < n)%nat -> within annotation_of k t ->
  real (low at_ (key k)) <= t <= real (high at_ (key k)).
Proof.
  intros Hk W. assert (R := radius_ok k Hk). unfold within in W. cbn [centre annotation_of] in W.
  unfold low, high. rewrite real_plus, real_minus. fold (row_nat k).
  assert (K : Rabs (t - real (r_centre (row_nat k))) <= real (r_rad (row_nat k))) by lra.
  unfold Rabs in K. destruct Rcase_abs in K; lra.
Qed.

Lemma mag_limit k : (k < n)%nat -> real (mag at_ (key k)) <= 2 ^ 20.
Proof. intros Hk. rewrite <- limit_is. exact (real_le _ _ (f_mag _ _ _ (facts_at k Hk))). Qed.
End Annotation.
