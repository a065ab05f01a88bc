(** * The columns that a unit is given

    - [columns_ok]: the columns of a unit are its operands', as its core reads them, and off by no
      more than [columns_for] says;
    - [base_ok]: so is the line that readers of a base see.

    Rests on Mixed.v. Stands behind columns.py. *)

From Coq Require Import Reals Lra Lia ZArith List Bool FMapPositive Uint63 Sint63.
From Lastbit Require Import Totals checker.Program checker.Numbers checker.Vectors fast.Walk
  fast.LineSums fast.Stored.
From Lastbit Require Import fast.LineKeys fast.WalkForms fast.Mixed.
Import ListNotations.
Open Scope R_scope.

Section Lines.
Variables (boundary : int) (k : nat) (base : nat -> Prop).
Notation fine := (fine boundary k base).

Lemma merge_keys p a b : In p (map snd a) \/ In p (map snd b) -> In p (map snd (merge a b)).
Proof.
  revert b. induction a as [|[x i] a IHa]; [intros b [[]|H]; exact H|].
  induction b as [|[y i'] b IHb]; [intros [H|[]]; exact H|].
  cbn [merge]. destruct (Pos.compare_spec i i') as [->|H|H]; cbn [map snd In] in *.
  - intros [[K|K]|[K|K]]; try (now left); right; apply IHa; tauto.
  - intros [[K|K]|K]; try (now left); right; apply IHa; cbn [map snd In]; tauto.
  - intros [K|[K|K]]; try (now left); right; [apply IHb; now left|apply IHb; now right].
Qed.

Lemma parts_keys m kept x t p : In x kept -> view (snd x) (cell_at m (snd x)) = Some (t, p) ->
  In p (map snd (parts m kept)).
Proof.
  intros Hx E. induction kept as [|w kept IH]; [easy|]. cbn [parts fold_right]. fold (parts m kept).
  destruct Hx as [->|Hx].
  - rewrite E. apply merge_keys. left. now left.
  - destruct (view (snd w) (cell_at m (snd w))) as [[t' p']|]; [|now apply IH]. apply merge_keys.
    right. now apply IH.
Qed.

Variable st : state.

Lemma found_keys ps l p : found (lines st) ps = Some l -> In p (map snd ps) ->
  exists s, PositiveMap.find p (lines st) = Some s.
Proof.
  revert l. induction ps as [|[x i] ps IH]; intros l; [easy|]. cbn [found fold_right map snd].
  fold (found (lines st) ps). destruct (found (lines st) ps) as [l'|]; [|discriminate].
  destruct (PositiveMap.find i (lines st)) as [s|] eqn:F;
    [|discriminate].
  intros _ [<-|H]; [now exists s|now apply (IH l')].
Qed.

Theorem columns_found kept columns missed key x t p : columns_for boundary st key kept =
  Some (columns, missed) ->
  In x kept -> view (snd x) (cell_at (known st) (snd x)) = Some (t, p) ->
  exists s, PositiveMap.find p (lines st) = Some s.
Proof.
  intros H Hx E. assert (K := parts_keys (known st) kept x t p Hx E). unfold columns_for in H.
  destruct (parts (known st) kept) as [|[a i] [|y ps]]; [easy| |].
  - destruct K as [K|[]]. cbn [snd] in K. subst i. destruct (PositiveMap.find p (lines st)) as [s|];
      [now exists s|discriminate].
  - destruct (found (lines st) _) as [l|] eqn:F in H; [|discriminate].
    now apply found_keys with (1 := F).
Qed.

(** What stands behind a factor and a line. *)
Definition handle (p : positive) (g : nat) : R := match PositiveMap.find p
  (lines st) with Some s => mark s g | None => 0 end.

(** A factor times a line; and what readers of unit [j] see. *)
Definition times (v : option (float * positive)) (g : nat) : R :=
  match v with None => 0 | Some (t, p) => real (val t) * handle p g end.
Definition viewed (j : positive) : nat -> R := times (view j (cell_at (known st) j)).

Lemma parts_ok kept g :
  total
  (map (fun y => IZR (fst y) / 2 ^ 100 / 2 ^ 100 * handle (snd y) g) (parts (known st) kept)) =
  total (map (fun x => real (fst x) * viewed (snd x) g) kept).
Proof.
  rewrite (total_map_ext _ (fun y => / (2 ^ 100 * 2 ^ 100) * (IZR (fst y) * handle (snd y) g)))
    by (intros; field).
  rewrite total_map_scale. induction kept as [|w kept IH]; [unfold total; simpl; ring|].
  cbn [parts fold_right map].
  fold (parts (known st) kept). rewrite (total_cons (_ * viewed _ _)), <- IH. unfold viewed, times.
  destruct (view (snd w) (cell_at (known st) (snd w))) as [[t p]|]; [|ring].
  rewrite (merge_total (fun p => handle p g)). cbn [map fst snd]. rewrite total_cons, mult_IZR.
  unfold total at 1, real. cbn [fold_right]. field.
Qed.

Hypothesis all_fine : forall p s, PositiveMap.find p (lines st) = Some s -> fine s.

Lemma found_ok ps l : found (lines st) ps = Some l -> Forall (fun x => fine (snd x)) l /\
  forall g,
  blend l g = total (map (fun y => IZR (fst y) / 2 ^ 100 / 2 ^ 100 * handle (snd y) g) ps).
Proof.
  revert l. induction ps as [|[x p] ps IH]; intros l; cbn [found fold_right].
  - intros H. injection H as <-. split; [constructor|reflexivity].
  - fold (found (lines st) ps). destruct (found (lines st) ps) as [l'|]; [|discriminate].
    cbn [fst snd]. destruct (PositiveMap.find p (lines st)) as [s|] eqn:F; [|discriminate].
    intros H. injection H as <-. destruct (IH l' eq_refl) as [G B].
    split; [constructor; [exact (all_fine p s F)|exact G]|]. intros g. unfold blend in *.
    cbn [map fst snd]. rewrite !total_cons, B. f_equal. unfold handle. now rewrite F.
Qed.

(** The numbers of a unit's columns. *)
Definition made (columns : option (float * stored * positive)) (g : nat) : R :=
  match columns with None => 0 | Some (t, s, _) => real (val t) * mark s g end.

Lemma full_factor : real (val unit_factor) = 1.
Proof. exact real_one. Qed.

Theorem columns_ok kept columns missed key : columns_for boundary st key kept =
  Some (columns, missed) ->
  (forall t s p, columns = Some (t, s, p) -> fine s /\
    (PositiveMap.find p (lines st) = Some s \/ p = own_line key)) /\
  forall n,
  over n (fun g =>
    Rabs (total (map (fun x => real (fst x) * viewed (snd x) g) kept) - made columns g)) <=
    real missed.
Proof.
  intros H.
  assert (Q := fun n h => over_ext n (fun g => Rabs (total (map (fun x => real (fst x) * viewed
    (snd x) g) kept) - h g)) _
    (fun g _ => f_equal (fun t => Rabs (t - h g)) (eq_sym (parts_ok kept g)))).
  unfold columns_for in H. destruct (parts (known st) kept) as [|[x p] [|y ps]].
  - apply some_pair in H. destruct H as [<- <-]. split; [discriminate|]. intros n.
    rewrite (Q n (made None)).
    rewrite (over_cut n 0); [rewrite real_0; unfold over; simpl; lra|lia|]. intros g _.
    unfold total. cbn [map fold_right made]. rewrite Rminus_0_r. apply Rabs_R0.
  - destruct (PositiveMap.find p (lines st)) as [s|] eqn:F; [|discriminate]. cbv zeta in H.
    apply some_pair in H. destruct H as [<- <-]. assert (G := all_fine p s F). split.
    + intros t' s' p' E. injection E as _ <- <-. split; [exact G|now left].
    + intros n. rewrite Q. set (t := near (Z.shiftr x 100)).
      apply Rle_trans with (2 := weighed _ _).
      assert (T := gap_times boundary k base n (IZR (x - val t * one) / 2 ^ 100 / 2 ^ 100) s G).
      rewrite double_abs in T.
      apply Rle_trans with (2 := T). right. apply over_ext. intros g _. f_equal. unfold total.
      cbn [map fold_right fst snd made].
      unfold handle. rewrite F, minus_IZR, mult_IZR, one_is. unfold real. field.
  - revert H Q. generalize ((x, p) :: y :: ps). intros qs H Q.
    destruct (found (lines st) qs) as [l|] eqn:F; [|discriminate]. cbv zeta in H.
    set (h := gain l) in H.
    destruct (Z.eqb_spec (val (near (Z.shiftl 1 (100 - h)))) (Z.shiftl 1 (100 - h)))
      as [Et|]; [|discriminate].
    destruct (mixed boundary h l) as [[s off]|] eqn:X; [|discriminate]. apply some_pair in H.
    destruct H as [<- <-]. destruct (found_ok qs l F) as [G B].
    destruct (mixed_ok boundary k base h l s off G X) as [Gs V]. split.
    + intros t' s' p' E. injection E as _ <- <-. split; [exact Gs|now right].
    + intros n. rewrite Q. apply Rle_trans with (2 := V n). right. apply over_ext. intros g _.
      rewrite B. cbn [made]. now rewrite Et.
Qed.

(** The line that readers of a base see. *)
Theorem base_ok columns l off g err l' : (forall t s p, columns = Some (t, s, p) -> fine s) ->
  settled boundary columns = Some (l, off) -> extended boundary l g (f_int err) = Some l' ->
  f_n err = 17%nat ->
    plain g = Z.of_nat k -> base k ->
  (good boundary (S k) l' /\ keyed base (s_line l')) /\
  forall n,
  over n (fun j =>
    Rabs (made columns j + (if (j =? k)%nat then real (val err) else 0) - mark l' j)) <=
    real off.
Proof.
  intros G X Ex Hn Hg Hb.
  assert (S : fine l /\ forall n, over n (fun j => Rabs (made columns j - mark l j)) <= real off).
  { unfold settled in X. destruct columns as [[[t s] p]|].
    - assert (Fs : Forall (fun x => fine (snd x)) [((val t * one)%Z, s)]) by (constructor;
        [exact (G t s p eq_refl)|constructor]).
      destruct (mixed_ok boundary k base _ _ _ _ Fs X) as [G' V]. split; [exact G'|]. intros n.
      apply Rle_trans with (2 := V n). right.
      apply over_ext.
      intros j _. f_equal. unfold blend, total. cbn [map fold_right fst snd made].
      rewrite mult_IZR, one_is. replace (part 0) with 1 by (symmetry; exact real_one). unfold real.
      field.
    - apply some_pair in X. destruct X as [<- <-]. split; [split; [apply good_empty|exact I]|].
      intros n. rewrite (over_cut n 0); [rewrite real_0; unfold over; simpl; lra|lia|]. intros j _.
      cbn [made]. unfold mark. change (value empty j) with 0%Z. unfold Rdiv.
      rewrite Rmult_0_l, Rminus_0_r. apply Rabs_R0. }
  destruct S as [[Gg Gk] V]. split.
  - split; [apply (extended_good _ _ _ _ _ _ _ Gg Ex); lia|].
    apply (extended_keyed _ _ _ _ _ _ Gk) with (2 := Ex). now rewrite Hg, Nat2Z.id.
  - intros n. apply Rle_trans with (2 := V n). right. apply over_ext. intros j _. f_equal.
    unfold mark at 1. rewrite (extended_value _ _ _ _ _ _ j Gg Ex), plus_IZR, Hg.
    replace ((IZR (value l j) +
      IZR (if (Z.of_nat j =? Z.of_nat k)%Z then signed (f_int err) else 0)) / 2 ^ 32) with
      (mark l j + if (j =? k)%nat then real (val err) else 0); [lra|].
    unfold mark.
    destruct (Nat.eqb_spec j k) as [Q|Q], (Z.eqb_spec (Z.of_nat j) (Z.of_nat k)) as [Q'|Q'];
      try lia; [|lra].
    rewrite (grained err Hn). lra.
Qed.

(** Lines of marks have entries for bases before [k] only. *)
Lemma mark_only s g : fine s -> mark s g <> 0 -> base g /\ (g < k)%nat.
Proof.
  intros [G K] N. assert (V : value s g <> 0%Z) by (intros E; apply N; unfold mark; rewrite E; lra).
  split.
  - now apply (value_keyed base s).
  - destruct (Nat.lt_ge_cases g k) as [L|L]; [exact L|]. exfalso. apply V.
    now apply (value_beyond boundary k).
Qed.
End Lines.
