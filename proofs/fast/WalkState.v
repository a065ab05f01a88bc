(** * The units that a walk has visited

    - [kept_invariant]: at every step cells of earlier units are in place, and the line that is
      found for one of them is what readers take it to be ([seen_mark]).

    Rests on WalkHistory.v and WalkLines.v. *)

From Coq Require Import Reals Lra Lia ZArith List Bool FMapPositive Uint63.
From Lastbit Require Import Totals checker.Program checker.Numbers checker.Annotation fast.Walk
  fast.WalkForms
  fast.LineSums fast.Stored fast.LineKeys.
From Lastbit Require Import fast.WalkEarly fast.WalkSteps fast.Mixed fast.WalkLines
  fast.WalkHistory.
From Lastbit Require fast.Backward.
Import ListNotations.
Open Scope Z_scope.

(** ** What holds at every step *)

Section Kept.
Variables (ratio : Z) (boundary : int) (ds : list details).

(** Of a unit that is not there; and the details of unit [k]. *)
Definition no_details : details :=
  {| d_op := CPixel 0; d_base := false; d_box := false; d_columns := None; d_missed := 0;
  d_bent := [];
  d_apart := []; d_early := []; d_cell := blank_cell; d_seen := empty;
    d_visited := Backward.Build_visited (CPixel 0) 0 0 0 0 [] |}.
Definition D (k : nat) : details := nth k ds no_details.

(** Unit [g] is a base. Its columns, as it was given them, and as its readers see them. *)
Definition base_at (g : nat) : Prop := d_base (D g) = true.
Definition own_mark (k g : nat) : R := made (d_columns (D k)) g.
Definition seen_mark (k g : nat) : R :=
  if d_base (D k) then mark (d_seen (D k)) g else own_mark k g.

(** A line that can be found in the state. *)
Definition stands (st : state) (p : positive) (s : stored) : Prop :=
  PositiveMap.find p (lines st) = Some s \/ PositiveMap.find p (fresh st) = Some s.

(** What holds when the first [k] units have been visited. *)
Record invariant (k : nat) (st : state) : Prop := {
  i_next : next st = key k;
  i_known : forall j, (j < k)%nat -> cell_at (known st) (key j) = d_cell (D j);
  i_fine : forall p s, stands st p s -> fine boundary k base_at s /\ (Pos.div2 p < key k)%positive;
  i_apart : forall p s s', PositiveMap.find p (lines st) = Some s ->
  PositiveMap.find p (fresh st) = Some s' -> False;
  i_none : forall j, (j < k)%nat -> view (key j) (d_cell (D j)) = None ->
  forall g, seen_mark j g = 0%R;
  i_seen : forall j t p, (j < k)%nat -> view (key j) (d_cell (D j)) = Some (t, p) ->
  (Pos.div2 p <= key j)%positive /\
    forall s, stands st p s -> forall g, seen_mark j g = (real (val t) * mark s g)%R
}.

Arguments i_next {k st}.
Arguments i_known {k st}.
Arguments i_fine {k st}.
Arguments i_apart {k st}.
Arguments i_none {k st}.
Arguments i_seen {k st}.

Lemma start_invariant : invariant 0 start.
Proof.
  assert (N : forall p s, ~ stands start p s)
    by (intros p s [H|H]; cbn in H; rewrite PositiveMap.gempty in H; discriminate).
  split; try reflexivity; try (intros; lia).
  - intros p s H. now apply N in H.
  - intros p s s' H. cbn in H. rewrite PositiveMap.gempty in H. discriminate.
Qed.

Lemma forget_invariant k st : invariant k st -> invariant k (forget st).
Proof.
  intros [I1 I2 I3 I4 I5 I6]. assert (N : forall p s, stands (forget st) p s -> stands st p s).
  { intros p s [H|H]; [now right|]. cbn in H. rewrite PositiveMap.gempty in H. discriminate. }
  split; try assumption.
  - intros p s H. now apply I3, N.
  - intros p s s' _ H. cbn in H. rewrite PositiveMap.gempty in H. discriminate.
  - intros j t p Hj E. destruct (I6 j t p Hj E) as [Q V]. split; [exact Q|]. intros s H.
    now apply V, N.
Qed.

Lemma forgets_invariant k st st' : forgets st st' -> invariant k st -> invariant k st'.
Proof. induction 1; [easy|]. intros I. now apply IHforgets, forget_invariant. Qed.

Section Step.
Variables (k : nat) (st st' : state).
Hypothesis I : invariant k st.
Hypothesis T : taken ratio boundary st (D k) st'.

Notation d := (D k).
Notation r := (row_of_cell (d_cell (D k))).
Notation kept := (kept_of (d_op (D k)) (row_of_cell (d_cell (D k)))).

Lemma reads_before j : In j (reads_of (d_op d)) -> (num j < k)%nat.
Proof.
  intros Hj. apply (p_reads (proj1 T)) in Hj. rewrite (i_next I) in Hj. apply num_lt in Hj.
  now rewrite num_key in Hj.
Qed.

Lemma kept_below x : In x kept -> (num (snd x) < k)%nat.
Proof. intros Hx. now apply reads_before, kept_in_reads with (1 := Hx). Qed.

Lemma columns_fine t s p : d_columns d = Some (t, s, p) -> fine boundary k base_at s /\
  (PositiveMap.find p (lines st) = Some s \/ p = own_line (key k)).
Proof.
  intros E.
  destruct (columns_ok boundary k base_at st (fun p s H =>
    proj1 (i_fine I p s (or_introl H))) _ _ _ _
    (p_columns (proj1 T))) as [G _]. rewrite (i_next I) in G. exact (G t s p E).
Qed.

(** The columns of unit [k] are the sum of what it sees of its operands, up to [d_missed]. *)
Theorem marks_missed n :
  (over n (fun g =>
    Rabs (total (map (fun x => real (fst x) * seen_mark (num (snd x)) g) kept) - own_mark k g)) <=
    real (d_missed d))%R.
Proof.
  assert (C := p_columns (proj1 T)).
  destruct (columns_ok boundary k base_at st (fun p s H => proj1 (i_fine I p s (or_introl H))) _ _ _
    _ C) as [_ V].
  apply Rle_trans with (2 := V n). right. apply over_ext. intros g _. do 2 f_equal.
  apply total_map_ext. intros x Hx. f_equal. assert (Hb := kept_below x Hx). unfold viewed, times.
  assert (K := i_known I _ Hb). rewrite key_num in K. rewrite K.
  destruct (view (snd x) (d_cell (D (num (snd x))))) as [[t p]|] eqn:E.
  - destruct (i_seen I (num (snd x)) t p Hb) as [_ S]; [now rewrite key_num|].
    destruct (columns_found boundary k base_at st _ _ _ _ x t p C Hx) as [s F]; [now rewrite K|].
    unfold handle. rewrite F. apply S. now left.
  - apply (i_none I); [exact Hb|now rewrite key_num].
Qed.

(** What readers see of a base. *)
Theorem base_marks : base_at k ->
  (good boundary (S k) (d_seen d) /\ keyed base_at (s_line (d_seen d))) /\
  forall n,
  (over n (fun g =>
    Rabs (own_mark k g + (if (g =? k)%nat then real (r_err r) else 0) - seen_mark k g)) <=
    real (val (c_gap (d_cell d))))%R.
Proof.
  intros B. destruct (p_new (proj2 T) B) as (_ & Ix & l & off & S & En & X & _ & G & _).
  rewrite (i_next I) in *.
  assert (Ik : Uint63.to_Z (index (key k)) = Z.of_nat k) by (rewrite Ix; unfold key; lia).
  destruct (base_ok boundary k base_at _ _ _ _ _ _ (fun t s p E => proj1 (columns_fine t s p E)) S X
    En Ik B) as [Gd V].
  split; [exact Gd|].
  intros n. apply Rle_trans with (2 := real_le _ _ G), Rle_trans with (2 := V n). right.
  apply over_ext. intros g _. unfold seen_mark. unfold base_at in B. now rewrite B.
Qed.

Lemma step_invariant : invariant (S k) st'.
Proof.
  destruct I as [I1 I2 I3 I4 I5 I6]. destruct T as [St L].
  assert (Bs := p_base St). assert (Ln := p_line St).
  assert (Next : next st' = key (S k)) by (rewrite (p_next L), I1; reflexivity).
  assert (Known : forall j, (j < S k)%nat -> cell_at (known st') (key j) = d_cell (D j)).
  { intros j Hj. rewrite (p_known L), I1. unfold cell_at. destruct (Nat.eq_dec j k) as [->|N].
    - now rewrite PositiveMap.gss.
    - rewrite PositiveMap.gso; [apply I2; lia|]. intros E. apply (f_equal num) in E.
      rewrite !num_key in E. lia. }
  assert (Later : forall s, fine boundary k base_at s -> fine boundary (S k) base_at s).
  { intros s [G K]. split; [|exact K]. apply good_later with (2 := G). lia. }
  assert (Lt : (key k < key (S k))%positive) by (unfold key; lia).
  destruct (d_base d) eqn:B.
  - destruct (p_new L eq_refl) as (Li & _ & l & off & _ & _ & _ & Fr & _). rewrite I1 in Fr.
    destruct (base_marks B) as [Gs _].
    assert (New : forall p s, stands st' p s -> stands st p s \/ p = base_line (key k) /\
      s = d_seen d).
    { intros p s [H|H]; [left; left; now rewrite Li in H|]. rewrite Fr in H.
      destruct (Pos.eq_dec p (base_line
        (key k))) as [->|N].
      - rewrite PositiveMap.gss in H. right. split; [reflexivity|congruence].
      - rewrite PositiveMap.gso in H by exact N. left. now right. }
    assert (Old : forall s, ~ stands st (base_line (key k)) s).
    { intros s H. apply I3 in H. destruct H as [_ H]. cbn in H. lia. }
    split; try assumption.
    + intros p s H. destruct (New p s H) as [H'|[-> ->]].
      * destruct (I3 p s H') as [F Q]. split; [now apply Later|lia].
      * split; [exact Gs|exact Lt].
    + intros p s s' H1 H2. rewrite Li in H1. rewrite Fr in H2.
      destruct (Pos.eq_dec p (base_line (key k))) as [->|N].
      * apply (Old s). now left.
      * rewrite PositiveMap.gso in H2 by exact N. now apply (I4 p s s').
    + intros j Hj E. destruct (Nat.eq_dec j k) as [->|N]; [|apply I5; [lia|exact E]].
      unfold view in E. rewrite Bs in E. discriminate.
    + intros j t p Hj E. destruct (Nat.eq_dec j k) as [->|N].
      * unfold view in E. rewrite Bs in E. assert (Et : t = unit_factor) by congruence.
        assert (Ep : p = base_line (key k)) by congruence.
        subst t p. split; [cbn; lia|]. intros s H g.
        destruct (New _ s H) as [H'|[_ ->]]; [now apply Old in H'|]. unfold seen_mark.
        rewrite B, full_factor. ring.
      * destruct (I6 j t p ltac:(lia) E) as [Q V]. split; [exact Q|]. intros s H.
        destruct (New p s H) as [H'|[-> _]]; [now apply V|].
        cbn in Q. assert (key j < key k)%positive by (unfold key; lia). lia.
  - destruct (p_plain L eq_refl) as [Fr Li]. rewrite I1 in Li.
    assert (New : forall p s, stands st' p s -> stands st p s \/ p = own_line (key k) /\
      exists t, d_columns d = Some (t, s, p)).
    { intros p s [H|H]; [|left; right; now rewrite Fr in H]. rewrite Li in H.
      unfold lines_with in H. destruct (d_columns d) as [[[t l] q]|]; [|left; now left].
      destruct (Pos.eqb_spec q (own_line (key k))) as [->|N];
        [|left; now left].
      destruct (Pos.eq_dec p (own_line (key k))) as [->|N].
      - rewrite PositiveMap.gss in H. right. split; [reflexivity|]. exists t. congruence.
      - rewrite PositiveMap.gso in H by exact N. left. now left. }
    assert (Old : forall s, ~ stands st (own_line (key k)) s).
    { intros s H. apply I3 in H. destruct H as [_ H]. cbn in H. lia. }
    split; try assumption.
    + intros p s H. destruct (New p s H) as [H'|[-> [t E]]].
      * destruct (I3 p s H') as [F Q]. split; [now apply Later|lia].
      * split; [apply Later; apply (columns_fine t s _ E)|exact Lt].
    + intros p s s' H1 H2. rewrite Fr in H2. destruct (New p s (or_introl H1)) as [[H'|H']|[-> _]].
      * now apply (I4 p s s').
      * assert (P : PositiveMap.find p (lines st) = Some s \/ p = own_line (key k)).
        { rewrite Li in H1. unfold lines_with in H1.
          destruct (d_columns d) as [[[t l] q]|]; [|now left].
          destruct (Pos.eqb_spec q (own_line (key k))) as [->|N]; [|now left].
          destruct (Pos.eq_dec p (own_line
            (key k))) as [->|N]; [now right|].
          rewrite PositiveMap.gso in H1 by exact N. now left. }
        destruct P as [P|Ep]; [now apply (I4 p s s')|]. subst p. apply (Old s'). now right.
      * apply (Old s'). now right.
    + intros j Hj E g. destruct (Nat.eq_dec j k) as [->|N]; [|apply I5; [lia|exact E]].
      unfold view in E. rewrite Bs, Ln in E. unfold seen_mark. rewrite B. unfold own_mark.
      destruct (d_columns d) as [[[t l] q]|]; [discriminate|reflexivity].
    + intros j t p Hj E. destruct (Nat.eq_dec j k) as [->|N].
      * unfold view in E. rewrite Bs, Ln in E.
        destruct (d_columns d) as [[[t' l] q]|] eqn:Ec; [|discriminate]. cbn [line_of] in E.
        injection E as -> ->. destruct (columns_fine t l p Ec) as [_ P].
        assert (Q : (Pos.div2 p <= key k)%positive).
        { destruct P as [P|Ep]; [|subst p; cbn; lia]. assert (Q := proj2 (I3 p l (or_introl P))).
          lia. }
        split; [exact Q|]. intros s H g. unfold seen_mark. rewrite B. unfold own_mark. rewrite Ec.
        cbn [made]. assert (s = l); [|now subst s]. destruct (New p s H) as [H'|[_ [t' E']]].
        -- destruct P as [P|Ep]; [|subst p; now apply Old in H'].
           destruct H' as [H'|H']; [congruence|]. exfalso. now apply (I4 p l s).
        -- congruence.
      * destruct (I6 j t p ltac:(lia) E) as [Q V]. split; [exact Q|]. intros s H.
        destruct (New p s H) as [H'|[-> _]]; [now apply V|].
        cbn in Q. assert (key j < key k)%positive by (unfold key; lia). lia.
Qed.
End Step.

(** Each unit is taken by a step, from a state that is as it should be. *)
Definition all_taken : Prop := forall k, (k < length ds)%nat ->
  exists st1 st2, invariant k st1 /\ taken ratio boundary st1 (D k) st2.

Theorem kept_invariant st' : history ratio boundary start ds st' ->
  invariant (length ds) st' /\ all_taken.
Proof.
  assert (G : forall st l st', history ratio boundary st l st' ->
    forall pre, ds = (pre ++ l)%list ->
    invariant (length pre) st ->
    invariant (length ds) st' /\ forall k, (length pre <= k < length ds)%nat ->
      exists st1 st2, invariant k st1 /\ taken ratio boundary st1 (D k) st2).
  { induction 1 as [st st1 F|st st1 d st2 l st3 F T H IH]; intros pre E Hi.
    - rewrite app_nil_r in E. subst pre. split; [now apply forgets_invariant with (1 := F)|].
      intros. lia.
    - assert (Hd : D (length pre) = d)
        by (unfold D; rewrite E, app_nth2, Nat.sub_diag; [reflexivity|lia]).
      assert (Hi1 := forgets_invariant _ _ _ F Hi). rewrite <- Hd in T.
      assert (Hi2 := step_invariant _ _ _ Hi1 T). destruct (IH (pre ++ [d])%list) as [I1 I2].
      + now rewrite <- app_assoc.
      + rewrite length_app. cbn [length].
        now replace (length pre + 1)%nat with (S (length pre)) by lia.
      + split; [exact I1|]. intros k Hk.
        destruct (Nat.eq_dec k (length pre)) as [->|N]; [now exists st1, st2|]. apply I2.
        rewrite length_app. cbn [length]. lia. }
  intros H. destruct (G _ _ _ H [] eq_refl start_invariant) as [I1 I2]. split; [exact I1|].
  intros k Hk. apply I2. cbn [length]. lia.
Qed.
End Kept.

Arguments i_next {boundary ds k st}.
Arguments i_known {boundary ds k st}.
Arguments i_fine {boundary ds k st}.
Arguments i_apart {boundary ds k st}.
Arguments i_none {boundary ds k st}.
Arguments i_seen {boundary ds k st}.
