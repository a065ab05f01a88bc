(** * The checker's vectors, entry by entry

    - [coef]: the entries of a sparse vector, for the numbers of units in Statement.v; [coef_merge],
      [coef_scaled]: the vector operations of Program.v; [coef_sum], [coef_bound]: sums over all
      units from sums over the entries, whatever their order and however often one occurs;
    - [nth_vadd], [nth_vscale], [vle_nth]: dense vectors, entry by entry.

    Rests on Numbers.v and Rules.v. *)

From Coq Require Import Reals Lra Lia ZArith List Bool.
From Lastbit Require Import Totals network.Rules checker.Program checker.Numbers.
Import ListNotations.
Open Scope R_scope.

(** ** Sparse vectors *)

Definition entries (l : sparse) : list (R * nat) := map (fun w => (real (fst w), num (snd w))) l.
Definition coef (l : sparse) (j : nat) : R := Rules.weight (entries l) j.

Lemma coef_cons w i l j :
  coef ((w, i) :: l) j = (if (num i =? j)%nat then real w else 0) + coef l j.
Proof. reflexivity. Qed.

Lemma coef_app a b j : coef (a ++ b) j = coef a j + coef b j.
Proof. unfold coef, Rules.weight, entries. now rewrite !map_app, total_app. Qed.

Lemma coef_scaled w l j : coef (scaled w l) j = IZR w * coef l j.
Proof.
  induction l as [|[x i] l IH]; [unfold coef, Rules.weight; simpl; lra|].
  cbn [scaled map fst snd]. fold (scaled w l). rewrite !coef_cons, IH, real_scale.
  destruct (num i =? j)%nat; lra.
Qed.

(** A sum over the entries of two vectors that are merged. *)
Lemma merge_total (f : positive -> R) a b :
  total (map (fun y => IZR (fst y) * f (snd y)) (merge a b)) =
  total (map (fun y => IZR (fst y) * f (snd y)) a) +
  total (map (fun y => IZR (fst y) * f (snd y)) b).
Proof.
  set (F := fun l : sparse => total (map (fun y => IZR (fst y) * f (snd y)) l)).
  change (F (merge a b) = F a + F b).
  assert (C : forall x i l, F ((x, i) :: l) = IZR x * f i + F l) by reflexivity.
  assert (N : F [] = 0) by reflexivity. revert b.
  induction a as [|[x i] a IHa]; [intros b; rewrite N; cbn [merge]; lra|].
  induction b as [|[y i'] b IHb]; [rewrite N; cbn [merge]; lra|]. cbn [merge].
  destruct (Pos.compare_spec i i') as [->|H|H].
  - rewrite !C, IHa, plus_IZR. lra.
  - rewrite C, IHa, !C. lra.
  - rewrite C. change (F (merge ((x, i) :: a) b) = F ((x, i) :: a) + F b) in IHb.
    cbn [merge] in IHb. rewrite IHb, !C. lra.
Qed.

Lemma coef_weighted l j :
  coef l j =
  total (map (fun y => IZR (fst y) * (if (num (snd y) =? j)%nat then / 2 ^ 100 else 0)) l).
Proof.
  induction l as [|[x i] l IH]; [reflexivity|]. rewrite coef_cons, IH. cbn [map fst snd].
  rewrite total_cons. unfold real. destruct (num i =? j)%nat; lra.
Qed.

Lemma coef_merge a b j : coef (merge a b) j = coef a j + coef b j.
Proof.
  rewrite !coef_weighted. exact (merge_total (fun i => if (num i =? j)%nat then _ else 0) a b).
Qed.

(** An entry for a unit that does not occur. *)
Lemma coef_beyond l k j : (forall x, In x l -> (num (snd x) < k)%nat) -> (k <= j)%nat ->
  coef l j = 0.
Proof.
  induction l as [|[x i] l IH]; intros H Hj; [reflexivity|].
  rewrite coef_cons, IH by (try assumption; intros; apply H; now right).
  specialize (H _ (or_introl eq_refl)). simpl in H. destruct (Nat.eqb_spec (num i) j); [lia|lra].
Qed.

Lemma coef_sum k l f : (forall x, In x l -> (num (snd x) < k)%nat) ->
  over k (fun j => coef l j * f j) = total (map (fun w => real (fst w) * f (num (snd w))) l).
Proof.
  intros H. unfold coef. rewrite <- (weight_sum k (entries l) f).
  - unfold entries. now rewrite map_map.
  - unfold entries. intros j Hj. rewrite map_map in Hj. apply in_map_iff in Hj.
    destruct Hj as (x & <- & Hx). now apply H.
Qed.

Lemma weight_bound k (l : list (R * nat)) f : (forall x, In x l -> 0 <= f (snd x)) ->
  over k (fun j => Rabs (Rules.weight l j) * f j) <=
  total (map (fun w => Rabs (fst w) * f (snd w)) l).
Proof.
  induction l as [|[w i] l IH]; intros Hf.
  - rewrite (over_cut k 0); [unfold over; simpl; lra|lia|]. intros. unfold Rules.weight. simpl.
    rewrite Rabs_R0. lra.
  - specialize (IH (fun x I => Hf x (or_intror I))). assert (Hi := Hf _ (or_introl eq_refl)).
    cbn [snd] in Hi.
    apply Rle_trans with (over k (fun j => (if (i =? j)%nat then Rabs w * f i else 0)) +
      over k (fun j => Rabs (Rules.weight l j) * f j)).
    + rewrite <- over_plus. apply over_le. intros j _.
      change (Rules.weight ((w, i) :: l) j)
        with ((if (i =? j)%nat then w else 0) + Rules.weight l j).
      destruct (Nat.eqb_spec i j) as [<-|N].
      * assert (T := Rabs_triang w (Rules.weight l i)).
        apply (Rmult_le_compat_r (f i)) in T; [lra|exact Hi].
      * rewrite Rplus_0_l. lra.
    + unfold total in *. cbn [map fold_right fst snd]. apply Rplus_le_compat; [|exact IH].
      destruct (Nat.lt_ge_cases i k) as [H|H].
      * rewrite (over_one k i); [rewrite Nat.eqb_refl; lra|exact H|]. intros j _ N.
        destruct (Nat.eqb_spec i j); [lia|reflexivity].
      * rewrite (over_cut k 0); [|lia|].
        -- unfold over. simpl. apply Rmult_le_pos; [apply Rabs_pos|exact Hi].
        -- intros j Hj. destruct (Nat.eqb_spec i j); [lia|reflexivity].
Qed.

Lemma coef_bound k l f : (forall x, In x l -> 0 <= f (num (snd x))) ->
  over k (fun j => Rabs (coef l j) * f j) <=
  total (map (fun w => Rabs (real (fst w)) * f (num (snd w))) l).
Proof.
  intros Hf. unfold coef. apply Rle_trans with (1 := weight_bound k (entries l) f
    ltac:(intros x Hx; unfold entries in Hx; apply in_map_iff in Hx; destruct Hx as (y & <- & Hy);
      now apply Hf)).
  unfold entries. rewrite map_map. apply Rle_refl.
Qed.

(** ** Dense vectors *)

Lemma entry_nil q : entry q [] = 0%Z. Proof. unfold entry. now destruct q. Qed.

Lemma nth_vadd a b q : entry q (vadd a b) = (entry q a + entry q b)%Z.
Proof.
  unfold entry. revert b q. induction a as [|x a IH]; intros [|y b] [|q]; cbn [vadd nth]; try lia.
  now rewrite IH.
Qed.

Lemma nth_vscale w a q : entry q (vscale w a) = (w * entry q a)%Z.
Proof.
  unfold vscale. destruct (Z.eqb_spec w 0) as [->|N]; [rewrite entry_nil; lia|].
  unfold entry. rewrite <- (map_nth (Z.mul w)). f_equal. lia.
Qed.

Lemma nth_opp a q : entry q (map Z.opp a) = (- entry q a)%Z.
Proof. unfold entry. change 0%Z with (Z.opp 0) at 1. now rewrite map_nth. Qed.

Lemma nth_vup a q : entry q (vup a) = up (entry q a).
Proof. unfold entry, vup. change 0%Z with (up 0) at 1. now rewrite map_nth. Qed.

Lemma nth_vsum l q : entry q (vsum l) = zsum (map (fun x => (fst x * entry q (snd x))%Z) l).
Proof.
  unfold vsum. induction l as [|x l IH]; [apply entry_nil|].
  cbn [fold_right map zsum]. now rewrite nth_vadd, nth_vscale, IH.
Qed.

Lemma vle_nth a b q : vle a b = true -> (entry q a <= entry q b)%Z.
Proof.
  unfold vle. intros H. assert (K : (0 <= entry q (vadd b (map Z.opp a)))%Z).
  { unfold entry. destruct (Nat.lt_ge_cases q (length (vadd b (map Z.opp a)))) as [L|L].
    - rewrite forallb_forall in H. apply Z.leb_le, H, nth_In, L.
    - rewrite nth_overflow by exact L. lia. }
  rewrite nth_vadd, nth_opp in K. lia.
Qed.

Lemma all_nth (f : Z -> bool) (P : Z -> Prop) a q : (forall x, f x = true -> P x) -> P 0%Z ->
  forallb f a = true -> P (entry q a).
Proof.
  intros F P0 H. unfold entry. destruct (Nat.lt_ge_cases q (length a)) as [L|L].
  - apply F. rewrite forallb_forall in H. now apply H, nth_In.
  - now rewrite nth_overflow by exact L.
Qed.

Lemma nth_repeat x n q : (q < n)%nat -> entry q (repeat x n) = x.
Proof.
  revert q. unfold entry. induction n as [|n IH]; intros [|q] H; simpl; try lia. apply IH. lia.
Qed.
