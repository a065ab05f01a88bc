(** * Operators run one by one, as a file writes them

    A runtime that rewrites nothing rounds the sum of a convolution, and then adds the shortcut to
    the rounded number. The statement's sums contain that:

    - [sum_nested]: if terms of a sum are numbers that were computed as sums themselves, what comes
      of it is a value of the sum of all the terms, with the factors of both;
    - [written]: of two networks with the same units, the first one reads the results of sums that
      the second one takes in; [written_execution]: an execution of the first is one of the second,
      if that is [always_finite].

    Rests on Exists.v and Loops.v. *)

From Coq Require Import Reals Lra Lia List ZArith Permutation.
From Lastbit Require Import Statement Totals binary32.Terms binary32.Additions operations.Units
  network.Exists.
Import ListNotations.
Open Scope R_scope.

(** ** Sums of sums *)

(** A term, and the terms that its number is the sum of. *)
Definition opens (t : term) (ts : list term) : Prop :=
  exists inner, inner <> [] /\ sum inner (Finite (snd t)) /\ ts = map (with_factors (fst t)) inner.

Lemma with_factors_app fs gs l : map (with_factors (fs ++ gs)) l =
  map (with_factors fs) (map (with_factors gs) l).
Proof.
  rewrite map_map. apply map_ext. intros t. unfold with_factors. cbn. now rewrite app_assoc.
Qed.

Lemma with_factors_none l : map (with_factors []) l = l.
Proof. rewrite <- (map_id l) at 2. apply map_ext. now intros []. Qed.

Lemma opens_some t ts : opens t ts -> ts <> [].
Proof. intros (inner & N & _ & ->). now destruct inner. Qed.

Lemma opens_all_some l L : l <> [] -> Forall2 opens l L -> concat L <> [].
Proof.
  intros N H. destruct H as [|t ts l L H _]; [easy|]. apply opens_some in H. now destruct ts.
Qed.

(** Exact factors, one after the other. *)
Lemma factors_exactly fs l x : l <> [] -> sum l (Finite x) ->
  sum (map (with_factors fs) l) (Finite (constant fs * x)).
Proof.
  intros N H. induction fs as [|f fs IH].
  - rewrite with_factors_none. replace (constant [] * x) with x by (unfold constant; simpl; ring).
    exact H.
  - change (f :: fs) with ([f] ++ fs). rewrite with_factors_app, constant_app.
    assert (N' : map (with_factors fs) l <> []) by now destruct l. destruct f as [c|c].
    + replace (constant [Times c]
        * constant fs * x) with (c * (constant fs * x)) by (unfold constant; simpl; ring).
      exact (sum_times [Times c] _ _ _ _ N' (folds_number c) IH (multiplies_exactly c _)).
    + replace (constant [Over c]
        * constant fs * x) with (constant fs * x / c) by (unfold constant, Rdiv; simpl; ring).
      exact (sum_over [c] _ _ _ _ N' (folds_number c) IH (divides_exactly c _)).
Qed.

(** A subnormal result that is read as 0. *)
Lemma sum_copied l x v : sum l (Finite x) -> copies (Finite x) v -> sum l v.
Proof.
  intros H C. destruct (C x eq_refl) as (x' & R & ->). rewrite <- (app_nil_r l).
  apply (sum_adds l [] (Finite x) (Finite 0) (Finite x') H); [apply sum_zeros; constructor|].
  intros p q [= <-] [= <-]. exists x', 0. split; [exact R|]. split; [apply reads_refl|].
  rewrite Rplus_0_r. split; [apply rounds_exact|]. split; [intros ->; reflexivity|reflexivity].
Qed.

Lemma opens_scaled fs l L : Forall2 opens (map (with_factors fs) l) L ->
  exists L', Forall2 opens l L' /\ concat L = map (with_factors fs) (concat L').
Proof.
  revert L. induction l as [|t l IH]; intros L H; cbn [map] in H;
    inversion_clear H as [|? ts ? L0 (inner & N & S & ->) H0].
  - exists []. split; [constructor|reflexivity].
  - destruct (IH L0 H0) as (L' & F & E). exists (map (with_factors (fst t)) inner :: L'). split.
    + constructor; [|exact F]. now exists inner.
    + cbn [concat]. rewrite E, map_app. cbn [with_factors fst]. now rewrite with_factors_app.
Qed.

Lemma alike_app l1 l2 k1 k2 : alike l1 k1 -> alike l2 k2 -> alike (l1 ++ l2) (k1 ++ k2).
Proof. apply Forall2_app. Qed.

Lemma opens_alike l l' L' : alike l l' -> Forall2 opens l' L' -> exists L, Forall2 opens l L /\
  alike (concat L) (concat L').
Proof.
  intros A. revert L'. induction A as [|t t' l l' [P E] _ IH]; intros L' H;
    inversion_clear H as [|? ts ? L0 (inner & N & S & ->) H0].
  - exists []. split; constructor.
  - destruct (IH L0 H0) as (L & F & A). exists (map (with_factors (fst t)) inner :: L). split.
    + constructor; [|exact F]. exists inner. now rewrite E.
    + cbn [concat]. apply alike_app; [|exact A]. clear -P.
      induction inner as [|s inner IH]; constructor; [|exact IH].
      split; [|reflexivity]. cbn. now apply Permutation_app_tail.
Qed.

Lemma opens_perm l l' L' : Permutation l l' -> Forall2 opens l' L' ->
  exists L, Forall2 opens l L /\ Permutation (concat L) (concat L').
Proof.
  intros P H. destruct (Permutation_Forall2 (Permutation_sym P) H) as (L & Q & F). exists L.
  split; [exact F|].
  apply Permutation_sym. clear -Q.
  induction Q as [|ts L L' _ IH|ts ts' L|L L' L'' _ IH1 _ IH2]; cbn [concat].
  - constructor.
  - now apply Permutation_app_head.
  - rewrite !app_assoc. apply Permutation_app_tail, Permutation_app_comm.
  - now apply perm_trans with (1 := IH1).
Qed.

Theorem sum_nested l v : sum l v -> forall L, Forall2 opens l L -> sum (concat L) v.
Proof.
  induction 1 as [x v C|fs l c a v Hl Fc _ IH M|cs l d a v Hl Fd _ IH M|l1 l2 a b v _ IH1 _ IH2 Ad
    |fs l1 l2 c a b v Hl Fc _ IH1 _ IH2 Fu|z Z|l l' l'' v P A _ IH]; intros L H.
  - inversion_clear H as [|? ts ? L0 (inner & _ & S & ->) H0]. inversion_clear H0.
    cbn [concat fst snd] in *.
    rewrite app_nil_r, with_factors_none. now apply sum_copied with x.
  - destruct (opens_scaled fs l L H) as (L' & F & ->).
    exact (sum_times fs _ c a v (opens_all_some _ _ Hl F) Fc (IH L' F) M).
  - destruct (opens_scaled _ l L H) as (L' & F & ->).
    exact (sum_over cs _ d a v (opens_all_some _ _ Hl F) Fd (IH L' F) M).
  - apply Forall2_app_inv_l in H. destruct H as (L1 & L2 & F1 & F2 & ->). rewrite concat_app.
    exact (sum_adds _ _ a b v (IH1 L1 F1) (IH2 L2 F2) Ad).
  - apply Forall2_app_inv_l in H. destruct H as (L1 & L2 & F1 & F2 & ->). rewrite concat_app.
    destruct (opens_scaled fs l1 L1 F1) as (L' & F & ->).
    exact (sum_fuses fs _ _ c a b v (opens_all_some _ _ Hl F) Fc (IH1 L' F) (IH2 L2 F2) Fu).
  - revert L H. induction Z as [|t z [E _] _ IH]; intros L H;
      inversion_clear H as [|? ts ? L0 (inner & N & S & ->) H0].
    + apply sum_zeros. constructor.
    + cbn [concat]. apply (sum_adds _ _ (Finite 0) (Finite 0)); [|now apply IH|].
      * rewrite <- E. now apply factors_exactly.
      * replace 0 with (0 + 0) at 3 by ring. apply adds_exactly.
  - destruct (opens_alike l' l'' L A H) as (L' & F' & A').
    destruct (opens_perm l l' L' P F') as (L0 & F0 & P0).
    exact (sum_any_order _ _ _ v P0 A' (IH L0 F0)).
Qed.

(** ** Networks *)

(** A sum that a unit holds in one of the two networks. *)
Definition holds (us us' : list operation) (j : nat) (o : operation) : Prop :=
  nth_error us j = Some o \/ nth_error us' j = Some o.

(** The term [w] of a unit, and what takes its place: the term as it is, or with a factor 1, or the
    terms of the sum whose result it reads. *)
Definition takes (us us' : list operation) (r : nat ->
  R) (w : list factor * nat) (ts : list term) : Prop :=
  ts = [(fst w, r (snd w))] \/ ts = [(fst w ++ [Times 1], r (snd w))] \/
  exists ws bs, holds us us' (snd w) (Sum ws bs) /\ terms ws bs r <> [] /\
    ts = map (with_factors (fst w)) (terms ws bs r).

Definition taken (us us' : list operation) (o o' : operation) : Prop :=
  o = o' \/ exists ws bs ws' bs', o = Sum ws bs /\ o' = Sum ws' bs' /\
  forall r, exists L k, Forall2 (takes us us' r) ws L /\ Permutation (concat L ++ bs) k /\
    alike k (terms ws' bs' r).

Definition written (net net' : network) : Prop :=
  logits net = logits net' /\ Forall2 (taken (units net) (units net')) (units net) (units net').

Lemma performs_ext o v x x' y : (forall j, In j (operands o) -> x j = x' j) -> performs o v x y ->
  performs o v x' y.
Proof.
  destruct o as [p|ws bs|j|j|i j]; cbn [operands performs]; intros E H;
    try (rewrite <- !E by (simpl; auto)); try exact H.
  intros r Hr. apply H. intros j Hj. rewrite (E j Hj). now apply Hr.
Qed.

Lemma forall2_nth {A B} (P : A -> B -> Prop) l l' k b : Forall2 P l l' -> nth_error l' k = Some b ->
  exists a, nth_error l k = Some a /\ P a b.
Proof.
  intros H. revert k. induction H as [|x y l l' Hxy _ IH]; intros [|k] E; try discriminate;
    cbn [nth_error] in *.
  - injection E as <-. now exists x.
  - now apply IH.
Qed.

Lemma one_sum r : sum [([Times 1], r)] (Finite r).
Proof.
  replace (Finite r) with (Finite (constant [Times 1] * r)) by (unfold constant; simpl; f_equal;
    ring).
  apply (factors_exactly [Times 1] [([], r)]); [discriminate|]. apply sum_number. intros p [= <-].
  exists r. split; [apply reads_refl|reflexivity].
Qed.

(** One unit: the sums that it takes in are those that other units hold. *)
Lemma taken_performs us us' o o' v x y : taken us us' o o' ->
  (forall j, In j (operands o) -> exists r, x j = Finite r) ->
  (forall j a, In j (operands o) -> holds us us' j a -> performs a v x (x j)) ->
  (forall j a, In j (operands o) -> holds us us' j a -> forall i, In i (operands a) ->
    exists r, x i = Finite r) ->
  performs o v x y -> performs o' v x y.
Proof.
  intros [->|(ws & bs & ws' & bs' & -> & -> & T)] Fin Per Fin2 H; [exact H|].
  cbn [performs operands] in *.
  intros r' Hr'. set (r := fun j => real_part (x j)).
  assert (Er : terms ws' bs' r' = terms ws' bs' r).
  { unfold terms. f_equal. apply map_ext_in. intros w Hw. f_equal. unfold r. now rewrite (Hr' _
      (in_map snd _ _ Hw)). }
  rewrite Er. destruct (T r) as (L & k & F & P & A). apply (sum_any_order _ k _ y P A).
  assert (B : concat (map (fun t => [t]) bs) = bs) by (clear; induction bs as [|t bs IH];
    [reflexivity|cbn; now rewrite IH]).
  rewrite <- B, <- concat_app. apply (sum_nested (terms ws bs r) y).
  { apply H. intros j Hj. destruct (Fin j Hj) as [a E]. unfold r. now rewrite E. }
  apply Forall2_app.
  - assert (Rj : forall j, In j (map snd ws) -> x j = Finite (r j)).
    { intros j Hj. destruct (Fin j Hj) as [a E]. unfold r. now rewrite E. }
    clear -F Per Fin2 Rj. induction F as [|w ts ws L Hw F IH]; [constructor|]. cbn [map] in *.
    constructor.
    + assert (E := Rj (snd w) (or_introl eq_refl)).
      destruct Hw as [->|[->|(ws2 & bs2 & N & Ne & ->)]].
      * exists [([], r (snd w))]. split; [discriminate|].
        split; [|unfold with_factors; cbn; now rewrite app_nil_r].
        apply sum_number. intros p [= <-]. exists (r (snd w)).
        split; [apply reads_refl|reflexivity].
      * exists [([Times 1], r (snd w))]. split; [discriminate|]. split; [apply one_sum|reflexivity].
      * exists (terms ws2 bs2 r). split; [exact Ne|]. split; [|reflexivity]. cbn [snd].
        rewrite <- E.
        apply (Per _ _ (or_introl eq_refl) N). intros i Hi.
        destruct (Fin2 _ _ (or_introl eq_refl) N i Hi) as [a Ea]. unfold r. now rewrite Ea.
    + apply IH; [intros j a Hj; apply Per|intros j a Hj; apply Fin2|intros j Hj; apply Rj];
        now right.
  - clear. induction bs as [|t bs IH]; constructor; [|exact IH]. destruct t as [fs x0].
    exists [([], x0)]. split; [discriminate|].
    split; [|unfold with_factors; cbn; now rewrite app_nil_r]. apply sum_number. intros p [= <-].
    exists x0. split; [apply reads_refl|reflexivity].
Qed.

Lemma nth_error_from {A} n (l : list A) k : nth_error (skipn n l) k = nth_error l (n + k).
Proof. revert l. induction n as [|n IH]; intros [|a l]; cbn; auto. now destruct k. Qed.

(** The first units of a run are those of a whole one. *)
Lemma first_finite net v x k : always_finite net -> image v -> logits net <> [] ->
  earlier (units net) ->
  (forall i o, (i <= k)%nat -> nth_error (units net) i = Some o -> performs o v x (x i)) ->
  (k < length (units net))%nat -> exists r, x k = Finite r.
Proof.
  intros H Hv N E P Hk. set (init := map x (seq 0 (S k))).
  assert (Li : length init = S k) by (unfold init; now rewrite length_map, length_seq).
  set (f := fun o (y : nat -> value) => Finite (ideal o v (fun j => real_part (y j)))).
  assert (f_ext : forall o y y', (forall j, In j (operands o) -> y j = y' j) -> f o y = f o y').
  { intros o y y' Q. unfold f. f_equal. apply ideal_ext. intros j Hj. now rewrite Q. }
  set (z := fun i => nth i (run value Overflow f init (skipn (S k) (units net))) Overflow).
  assert (Z : forall i, (i <= k)%nat -> z i = x i).
  { intros i Hi. unfold z. rewrite run_init by lia. unfold init. rewrite (nth_indep _ Overflow (x
      0%nat)) by (rewrite length_map, length_seq; lia).
    now rewrite map_nth, seq_nth by lia. }
  assert (Pz : forall i o, nth_error (units net) i = Some o -> performs o v z (z i)).
  { intros i o Ei. destruct (Nat.le_gt_cases i k) as [L|L].
    - rewrite (Z i L). apply performs_ext with x; [|now apply P]. intros j Hj. symmetry. apply Z.
      generalize (E i o Ei j Hj). lia.
    - assert (R := run_at value Overflow f f_ext init (skipn (S k) (units net))). rewrite Li in R.
      specialize (R (fun d a Ed j Hj => E (S k + d)%nat a (eq_trans (eq_sym (nth_error_from (S k)
        (units net) d)) Ed) j Hj)).
      specialize (R (i - S k)%nat o). rewrite nth_error_from in R.
      replace (S k + (i - S k))%nat with i in R by lia.
      specialize (R Ei). fold (z i) in R. rewrite R. apply performs_exactly. }
  destruct (units_finite net v z H Hv N Pz k Hk) as [r Er]. exists r. now rewrite <- Z by lia.
Qed.

(* map: operators that round one by one are an execution of the sums that take them in *)
Theorem written_execution net net' v x p : written net net' -> earlier (units net) ->
  earlier (units net') -> always_finite net' ->
  image v -> logits net' <> [] -> execution net v x p -> execution net' v x p.
Proof.
  intros [El W] E E' H Hv N [Hx Hp]. split; [|now rewrite <- El].
  assert (Len : length (units net) = length (units net')) by (clear -W; induction W; cbn [length];
    congruence).
  assert (All : forall k, (k <= length (units net'))%nat -> forall i o, (i < k)%nat ->
    nth_error (units net') i = Some o ->
    performs o v x (x i) /\ exists r, x i = Finite r).
  { induction k as [|k IH]; intros Hk i o Hi Eo; [lia|]. destruct (Nat.eq_dec i k) as [->|Ni];
      [|apply IH; [lia|lia|exact Eo]].
    assert (Before : forall j, (j < k)%nat -> exists r, x j = Finite r).
    { intros j Hj. destruct (nth_error (units net') j) as [a|] eqn:Ej;
        [|apply nth_error_None in Ej; lia].
      exact (proj2 (IH ltac:(lia) j a Hj Ej)). }
    assert (P : performs o v x (x k)).
    { destruct (forall2_nth _ _ _ k o W Eo) as (o0 & E0 & T). apply (taken_performs _ _ o0 o v x (x
        k) T).
      - intros j Hj. apply Before. exact (E k o0 E0 j Hj).
      - intros j a Hj [Ea|Ea]; [exact (Hx j a Ea)|].
        apply (IH ltac:(lia) j a); [exact (E k o0 E0 j Hj)|exact Ea].
      - intros j a Hj Ea i Hi'. apply Before. assert (J := E k o0 E0 j Hj).
        destruct Ea as [Ea|Ea]; [generalize (E j a Ea i Hi')|generalize (E' j a Ea i Hi')]; lia.
      - exact (Hx k o0 E0). }
    split; [exact P|]. apply (first_finite net' v x k H Hv N E'); [|lia]. intros j a Hj Ea.
    destruct (Nat.eq_dec j k) as [->|Nj]; [now replace a with o by congruence|].
    apply (IH ltac:(lia) j a); [lia|exact Ea]. }
  intros k o Eo. apply (All (length (units net')) (le_n _) k o); [|exact Eo]. apply nth_error_Some.
  congruence.
Qed.
