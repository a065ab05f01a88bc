(** * What an accepted certificate says of each unit

    - [numbers_of]: the rows of a certificate as [numbers] of Annotation.v;
    - [row_facts]: what [good_row] has decided, inequality by inequality;
    - [weigh_ok]: sums over columns; [change_entry], [bend_entry]: changes by pixel, entry by entry.

    Rests on Annotation.v. Columns.v takes it to [unit_facts]. *)

From Coq Require Import Reals Lra Lia ZArith List Bool.
From Lastbit Require Import Statement Totals checker.Program checker.Numbers checker.Vectors
  checker.Annotation.
Import ListNotations.
Open Scope R_scope.

(** ** Sums over entries *)

Lemma zsum_scale {A} s (f : A -> Z) l : zsum (map (fun x => s * f x)%Z l) = (s * zsum (map f l))%Z.
Proof. unfold zsum. induction l as [|x l IH]; cbn [map fold_right]; [lia|]. rewrite IH. ring. Qed.

Lemma weigh_real f l : IZR (weigh f l) / 2 ^ 100 / 2 ^ 100 =
  total (map (fun x => Rabs (real (fst x)) * real (f (snd x))) l).
Proof.
  unfold weigh. induction l as [|x l IH]; [unfold total; simpl; lra|].
  cbn [map zsum fold_right]. fold (zsum (map (fun x => (Z.abs (fst x) * f (snd x))%Z) l)).
  change (total (?a :: ?b)) with (a + total b). rewrite <- IH, plus_IZR, mult_IZR, <- real_abs.
  unfold real. lra.
Qed.

Lemma weigh_ok k f l F : (forall x, In x l -> 0 <= F (num (snd x)) <= real (f (snd x))) ->
  over k (fun g => Rabs (coef l g) * F g) <= real (up (weigh f l)).
Proof.
  intros H. apply Rle_trans with (2 := up_real _). rewrite weigh_real.
  apply Rle_trans with (1 := coef_bound k l F (fun x Hx => proj1 (H x Hx))).
  apply total_map_le. intros x Hx. apply Rmult_le_compat_l; [apply Rabs_pos|now apply H].
Qed.

Lemma vweigh_entry f l q : entry q (vup (vweigh f l)) = up (weigh (fun g => entry q (f g)) l).
Proof. rewrite nth_vup. unfold vweigh. rewrite nth_vsum. unfold weigh. now rewrite map_map. Qed.

(** ** Changes by pixel *)

Lemma pixel_entry p q : entry q (repeat 0%Z p ++ [one]) = if (p =? q)%nat then one else 0%Z.
Proof.
  unfold entry. revert q.
  induction p as [|p IH]; intros [|q]; cbn; try reflexivity; [now destruct q|apply IH].
Qed.

Lemma change_entry at_ o m q : entry q (change_rest at_ o m) =
  change_of at_ q (fun j => entry q (r_move (at_ j))) o m.
Proof.
  destruct o as [p|ws bs [c|]|j|j|i j]; cbn [change_rest change_of];
    rewrite ?entry_nil, ?nth_vup, ?nth_vsum; try reflexivity.
  - apply pixel_entry.
  - rewrite map_map. unfold counted. do 2 f_equal. apply map_ext. intros w. cbn [fst snd].
    destruct (fst w =? 0)%Z; lia.
  - cbn [map fst snd zsum fold_right]. now rewrite Z.add_0_r.
  - cbn [map fst snd zsum fold_right]. now rewrite Z.add_0_r.
  - cbn [map fst snd zsum fold_right]. now rewrite Z.add_0_r.
Qed.

Lemma bend_entry at_ o r q :
  (bend_by at_ q (fun j => entry q (r_move (at_ j))) o r <= entry q (bend_of at_ o r))%Z.
Proof.
  assert (M : forall w v, (Z.min w (entry q v) <= entry q (map (Z.min w) v))%Z).
  { intros w v. unfold entry. revert q.
    induction v as [|x v IH]; intros [|q]; cbn [map nth]; try lia. apply IH. }
  unfold bend_by, bend_of. rewrite <- !change_entry. destruct (r_box r); [apply M|apply Z.le_refl].
Qed.

(** ** The rows *)

Definition row_at (crt : cert) (k : positive) : row := row_of (c_rows crt) k.

Definition numbers_of (crt : cert) : numbers := {|
  n_row := row_at crt;
  n_cols k g := coef (r_cols (row_at crt (key k))) g;
  n_move q k := entry q (r_move (row_at crt k));
  n_bend q k := entry q (r_bend (row_at crt k));
  n_rem q k := entry q (r_rem (row_at crt k));
  n_own q k := entry q (r_own (row_at crt k));
  n_dual c j k :=
  real (entry c (r_duals (row_at crt (key k)))) - real (entry j (r_duals (row_at crt (key k))))
|}.

Section Accepted.
Variables (net : cnet) (crt : cert).
Notation at_ := (row_at crt).
Notation n := (length (cunits net)).

(** What [good_row] decides of unit [o], number [k], with row [r]. *)
Record row_facts (k : positive) (o : cunit) (r : row) : Prop := {
  g_reads : forall j, In j (reads_of o) -> (num j < num k)%nat;
  g_cols : forall x, In x (r_cols r) -> (num (snd x) < num k)%nat;
  g_fits : fits at_ o = true;
  g_rho_pos : (0 <= r_rho r)%Z;
  g_whole : (0 <= whole_of at_ k)%Z;
  g_rho : (rounding_of at_ (whole_of at_ k) o <= r_rho r)%Z;
  g_tame : (r_rho r <= limit)%Z;
  g_rest : (rest_of at_ o r <= r_rest r)%Z;
  g_box : r_box r = true -> may_box o = true;
  g_rem : forall q, (entry q (change_rest at_ o (r_slope r)) <= entry q (r_rem r))%Z;
  g_bend : forall q, (entry q (bend_of at_ o r) <= entry q (r_bend r))%Z;
  g_err_pos : (0 <= r_err r)%Z;
  g_err : (own_error at_ o r <= r_err r)%Z;
  g_own_pos : forall q, (0 <= entry q (r_own r) <= c_cap crt)%Z;
  g_own : forall q, (entry q (own_change at_ (cpixels net) (c_cap crt) o r) <= entry q (r_own r))%Z;
  g_rad : (radius_of at_ r <= r_rad r)%Z;
  g_move : forall q, (entry q (moves_of at_ r) <= entry q (r_move r))%Z;
  g_mag : (mag at_ k <= limit)%Z
}.

Hypothesis Hcap : (0 <= c_cap crt)%Z.
Hypothesis good : forallb (good_row at_ (cpixels net) (c_cap crt)) (numbered 1 (cunits net)) = true.

Lemma decided k : (k < n)%nat -> row_facts (key k) (unit_at net k) (at_ (key k)).
Proof.
  intros Hk. assert (H := good). rewrite forallb_forall in H.
  specialize (H _ (numbered_nth _ _ _ (unit_is net k Hk))). unfold good_row in H.
  rewrite !andb_true_iff, !Z.leb_le in H.
  destruct H
    as [[[[[[[[[[[[[[[[[A1 A2] A3] A3a] A3b] A4] A5] A6] A6a] A6b] A7] A8] A9] A10] A11] A12] A13]
      A14].
  rewrite forallb_forall in A1, A2. split; try assumption.
  - intros j Hj. specialize (A1 j Hj). apply Pos.ltb_lt in A1. now apply num_lt.
  - intros x Hx. specialize (A2 x Hx). apply Pos.ltb_lt in A2. now apply num_lt.
  - intros B. rewrite B in A6a. exact A6a.
  - intros q. now apply vle_nth.
  - intros q. now apply vle_nth.
  - intros q.
    apply (all_nth (fun x => (0 <=? x)%Z && (x <=? c_cap crt)%Z) (fun x =>
      (0 <= x <= c_cap crt)%Z)); [| |exact A10].
    + intros x Hx. rewrite andb_true_iff, !Z.leb_le in Hx. exact Hx.
    + lia.
  - intros q. now apply vle_nth.
  - intros q. now apply vle_nth.
Qed.

(** The row of a unit that an earlier one reads or has a column for. *)
Lemma decided_below k j : (k < n)%nat -> (num j < k)%nat ->
  row_facts j (unit_at net (num j)) (at_ j).
Proof. intros H Hj. generalize (decided (num j) ltac:(lia)). now rewrite key_num. Qed.
End Accepted.
