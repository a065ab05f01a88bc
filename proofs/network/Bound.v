(** * The bound for a whole network

    - [annotation]: what a certificate, and the checker's walk through the network, say of each
      unit;
    - [valid]: local conditions on it, each about one unit and the ones before it;
    - [valid_bound]: if they hold, every execution is finite on every image, and the statement holds
      with [U = tanh (R / 4) + 2 softmax_error n], where [R] bounds the change of all differences of
      two logits by duals.

    Rests on Units.v, Forms.v, Duals.v, Softmax.v and Probabilities.v. Rules.v says how each kind of
    unit meets [values] and [changes]. Stands behind check.py as a whole: [derive] establishes
    [valid] with the numbers that it computes. *)

From Coq Require Import Reals Lra Lia List ZArith Bool.
From Lastbit Require Import Statement Totals operations.Units binary32.Terms binary32.Sums.
From Lastbit Require Import network.Neighbours network.Duals network.Forms curves.Softmax
  curves.Probabilities.
Import ListNotations.
Open Scope R_scope.

(** [q] is the pixel that changes, [k] a unit, [g] and [j] earlier units. *)
Record annotation := {
  centre : nat -> R;                   (* of unit k *)
  columns : nat -> nat -> R;           (* of unit k, for unit g *)
  offset : nat -> R;                   (* unit k is offset + kept . earlier units, within rest *)
  kept : nat -> nat -> R;
  rest : nat -> R;
  rho : nat -> R;                      (* rounding of one execution *)
  err : nat -> R;                      (* what unit k adds to its form *)
  bend : nat -> nat -> R;              (* q, k: what a change leaves besides kept *)
  own : nat -> nat -> R;               (* q, k: what unit k adds to its change *)
  core : nat -> nat -> R;              (* linear core of the duals: 0 kept, in a boxed unit *)
  remainder : nat -> nat -> R;         (* q, k: what a change leaves besides core *)
  dual : nat -> nat -> nat -> R        (* classes c, j; unit k *)
}.

Section Annotation.
Variables (net : network) (ann : annotation).

Definition within (k : nat) (t : R) : Prop :=
  Rabs (t - centre ann k) <= radius (columns ann) (err ann) k.
Definition magnitude (k : nat) : R := Rabs (centre ann k) + radius (columns ann) (err ann) k.
(** The exact operation of unit [k]: its value before its own rounding. *)
Definition whole (k : nat) : R := magnitude k - rho ann k.
Definition move (q k : nat) : R := radius (columns ann) (own ann q) k.

Definition logit (c : nat) : nat := nth c (logits net) 0%nat.
Definition difference (c j k : nat) : R :=
  (if (k =? logit c)%nat then 1 else 0) - (if (k =? logit j)%nat then 1 else 0).

(** Bound (1): remainders and roundings weighed by the duals, defects by the changes. *)
Definition logit_bound (q c j : nat) : R :=
  let n := length (units net) in let a := dual ann c j in
  over n (fun k => Rabs (a k) * (remainder ann q k + 2 * rho ann k)) +
  over n (fun k => Rabs (defect n (core ann) (difference c j) a k) * move q k).

(** The exact operation [o] of unit [k] follows the affine form that its rule keeps. *)
Definition value_rule (k : nat) (o : operation) : Prop :=
  forall v r, image v -> (forall j, (j < k)%nat -> within j (r j)) ->
  Rabs (ideal o v r - offset ann k - read_through (kept ann) r k) <= rest ann k.

Definition change_rule (k : nat) (o : operation) : Prop :=
  forall q v v' r r', (q < pixels net)%nat -> image v -> image v' -> neighbours q v v' ->
  (forall j, (j < k)%nat -> within j (r j) /\ within j (r' j) /\ Rabs (r' j - r j) <= move q j) ->
  let D := fun j => r' j - r j in
  Rabs (ideal o v' r' - ideal o v r - read_through (kept ann) D k) <= bend ann q k /\
  Rabs (ideal o v' r' - ideal o v r - read_through (core ann) D k) <= remainder ann q k.

Record valid (bound : R) : Prop := {
  ordered : forall k o, nth_error (units net) k = Some o ->
  forall j, In j (operands o) -> (j < k)%nat;
  roundings : forall k o, nth_error (units net) k = Some o -> exists X F,
    (forall j, In j (operands o) -> magnitude j <= X j) /\ whole k <= F /\ noise X F o (rho ann k);
  values : forall k o, nth_error (units net) k = Some o -> value_rule k o;
  changes : forall k o, nth_error (units net) k = Some o -> change_rule k o;
  errors : forall k, (k < length (units net))%nat ->
    local_error (offset ann) (kept ann) (centre ann) (columns ann)
      (fun k => rest ann k + rho ann k) (err ann) k;
  owns : forall q k, (q < pixels net)%nat -> (k < length (units net))%nat ->
    local_error (fun _ => 0) (kept ann) (fun _ => 0) (columns ann)
      (fun k => bend ann q k + 2 * rho ann k) (own ann q) k;
  logits_there : forall c, (c < length (logits net))%nat ->
    (logit c < length (units net))%nat /\ magnitude (logit c) <= largest / 2;
  few_classes : (length (logits net) <= 2 ^ 14)%nat;
  bounded : forall q c j, (q < pixels net)%nat -> (c < length (logits net))%nat ->
    (j < length (logits net))%nat -> logit_bound q c j <= bound
}.

Variable bound : R.
Hypothesis V : valid bound.

Let n := length (units net).

Lemma unit_there k : (k < n)%nat -> exists o, nth_error (units net) k = Some o.
Proof.
  intros Hk. destruct (nth_error (units net) k) as [o|] eqn:E; [now exists o|].
  apply nth_error_None in E. unfold n in Hk. lia.
Qed.

Lemma within_magnitude k t : within k t -> Rabs t <= magnitude k.
Proof.
  unfold within, magnitude. intros H. replace t with ((t - centre ann k) + centre ann k) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). lra.
Qed.

(** ** One run *)

Definition real (x : nat -> value) (k : nat) : R :=
  match x k with Finite t => t | Overflow => 0 end.

Definition follows (v : nat -> Z) (x : nat -> value) (k : nat) : Prop :=
  x k = Finite (real x k) /\ within k (real x k) /\
  (forall o, nth_error (units net) k = Some o -> Rabs (real x k - ideal o v (real x)) <=
    rho ann k) /\
  Rabs (real x k - offset ann k - read_through (kept ann) (real x) k) <= rest ann k + rho ann k.

Lemma ideal_whole v (x : nat -> R) k o : (k < n)%nat ->
  nth_error (units net) k = Some o -> image v ->
  (forall j, (j < k)%nat -> within j (x j)) ->
  (forall j, (j < k)%nat -> Rabs (x j - offset ann j - read_through (kept ann) x j) <= rest ann j +
    rho ann j) ->
  Rabs (ideal o v x) <= whole k.
Proof.
  intros Hk Ho Hv W Res. assert (Val := values _ V k o Ho v x Hv W).
  set (y := fun i => if (i =? k)%nat then ideal o v x else x i).
  set (e := fun i => if (i =? k)%nat then err ann k - rho ann k else err ann i).
  set (r := fun i => if (i =? k)%nat then rest ann k else rest ann i + rho ann i).
  assert (Y : forall i, (i <= k)%nat -> read_through (kept ann) y i = read_through (kept ann) x i).
  { intros i Hi. apply over_ext. intros j Hj. unfold y.
    destruct (Nat.eqb_spec j k); [lia|reflexivity]. }
  assert (E : forall i, (i <= k)%nat -> forall f, over i (fun g => f g * e g) =
    over i (fun g => f g * err ann g)).
  { intros i Hi f. apply over_ext. intros g Hg. unfold e.
    destruct (Nat.eqb_spec g k); [lia|reflexivity]. }
  assert (F := forms (S k) y (offset ann) (kept ann) (centre ann) (columns ann) r e).
  specialize (F). assert (G : Rabs (y k - centre ann k) <= radius (columns ann) e k).
  { apply F; [| |lia]; intros i Hi.
    - rewrite Y by lia. unfold y, r. destruct (Nat.eqb_spec i k) as [->|N]; [exact Val|]. apply Res.
      lia.
    - assert (Er := errors _ V i ltac:(unfold n in Hk; lia)). unfold local_error in *.
      rewrite (E i) by lia. unfold e, r. destruct (Nat.eqb_spec i k) as [->|N]; lra. }
  unfold radius in G. rewrite (E k) in G by lia. unfold e, y in G. rewrite Nat.eqb_refl in G.
  unfold whole, magnitude, radius.
  replace (ideal o v x) with ((ideal o v x - centre ann k) + centre ann k) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). lra.
Qed.

Theorem one_run v x p : image v -> execution net v x p -> forall k, (k < n)%nat -> follows v x k.
Proof.
  intros Hv [Hx _] k. induction k as [k IH] using (well_founded_induction Wf_nat.lt_wf). intros Hk.
  destruct (unit_there k Hk) as [o Ho].
  destruct (roundings _ V k o Ho) as (X & F & HX & HF & Hnoise).
  destruct (unit_rounding o v x (real x) X F (rho ann k) (x k)) as (t & Et & Bt).
  - intros j Hj. assert (Lj := ordered _ V k o Ho j Hj). destruct (IH j Lj) as (E & W & _); [lia|].
    split; [exact E|]. apply Rle_trans with (2 := HX j Hj). now apply within_magnitude.
  - apply Rle_trans with (2 := HF).
    apply (ideal_whole v (real x) k o Hk Ho Hv); intros j Hj; apply (IH j Hj); lia.
  - exact Hnoise.
  - now apply Hx.
  - assert (Rt : real x k = t) by (unfold real; now rewrite Et).
    assert (Val :=
      values _ V k o Ho v (real x) Hv (fun j Hj => proj1 (proj2 (IH j Hj ltac:(lia))))).
    assert (Res : Rabs (real x k - offset ann k - read_through (kept ann) (real x) k) <=
      rest ann k + rho ann k).
    { rewrite Rt. replace (t - offset ann k - read_through (kept ann) (real x) k) with
        ((t - ideal o v (real x)) +
          (ideal o v (real x) - offset ann k - read_through (kept ann) (real x) k)) by ring.
      apply Rle_trans with (1 := Rabs_triang _ _). lra. }
    split; [now rewrite Rt|]. split; [|split; [|exact Res]].
    + apply (forms (S k) (real x) (offset ann) (kept ann) (centre ann) (columns ann)
        (fun k => rest ann k + rho ann k) (err ann)); [| |lia].
      * intros j Hj. destruct (Nat.eq_dec j k) as [->|N]; [exact Res|]. apply IH; lia.
      * intros j Hj. apply (errors _ V). unfold n in Hk. lia.
    + intros o' Ho'. rewrite Ho in Ho'. injection Ho' as <-. now rewrite Rt.
Qed.

(** ** Two runs *)

Section Two.
Variables (q : nat) (v v' : nat -> Z) (x x' p p' : nat -> value).
Hypothesis Hq : (q < pixels net)%nat.
Hypotheses (Hv : image v) (Hv' : image v') (Hn : neighbours q v v').
Hypotheses (Hx : execution net v x p) (Hx' : execution net v' x' p').

Let D (k : nat) : R := real x' k - real x k.

Theorem two_runs k : (k < n)%nat -> Rabs (D k) <= move q k /\
  Rabs (D k - read_through (kept ann) D k) <= bend ann q k + 2 * rho ann k /\
  Rabs (D k - read_through (core ann) D k) <= remainder ann q k + 2 * rho ann k.
Proof.
  induction k as [k IH] using (well_founded_induction Wf_nat.lt_wf). intros Hk.
  destruct (unit_there k Hk) as [o Ho].
  destruct (one_run v x p Hv Hx k Hk) as (_ & _ & B & _).
  destruct (one_run v' x' p' Hv' Hx' k Hk) as (_ & _ & B' & _). specialize (B o Ho).
  specialize (B' o Ho).
  destruct (changes _ V k o Ho q v v' (real x) (real x') Hq Hv Hv' Hn) as [C1 C2].
  { intros j Hj. split; [|split].
    - apply (one_run v x p Hv Hx). lia.
    - apply (one_run v' x' p' Hv' Hx'). lia.
    - apply IH; lia. }
  fold D in C1, C2.
  assert (K : forall s t, Rabs (ideal o v' (real x') - ideal o v (real x) - s) <= t ->
                          Rabs (D k - s) <= t + 2 * rho ann k).
  { intros s t H. replace (D k - s) with ((ideal o v' (real x') - ideal o v (real x) - s) +
      ((real x' k - ideal o v' (real x')) + - (real x k - ideal o v (real x)))) by (unfold D; ring).
    apply Rle_trans with (1 := Rabs_triang _ _).
    assert (T :=
      Rabs_triang (real x' k - ideal o v' (real x')) (- (real x k - ideal o v (real x)))).
    rewrite Rabs_Ropp in T. lra. }
  assert (Res := K _ _ C1). split; [|split; [exact Res|now apply K]].
  replace (D k) with (D k - 0) by ring.
  apply (forms (S k) D (fun _ => 0) (kept ann) (fun _ => 0) (columns ann)
    (fun k => bend ann q k + 2 * rho ann k) (own ann q)); [| |lia].
  - intros j Hj. rewrite Rminus_0_r. destruct (Nat.eq_dec j k) as [->|N]; [exact Res|].
    apply IH; lia.
  - intros j Hj. apply (owns _ V); [exact Hq|]. unfold n in Hk. lia.
Qed.

(** The change of a difference of two logits. *)
Theorem logits_change c j : (c < length (logits net))%nat -> (j < length (logits net))%nat ->
  Rabs (D (logit c) - D (logit j)) <= bound.
Proof.
  intros Hc Hj. apply Rle_trans with (2 := bounded _ V q c j Hq Hc Hj). unfold logit_bound.
  cbv zeta.
  assert (E : forall i, (logit i < n)%nat ->
    over n (fun k => (if (k =? logit i)%nat then 1 else 0) * D k) = D (logit i)).
  { intros i Hi. rewrite (over_one n (logit i)); [rewrite Nat.eqb_refl; ring|exact Hi|].
    intros k _ N. destruct (Nat.eqb_spec k (logit i)); [easy|ring]. }
  assert (S : over n (fun k => difference c j k * D k) = D (logit c) - D (logit j)).
  { rewrite <- (E c), <- (E j) by now apply (logits_there _ V).
    transitivity (over n (fun k => (if (k =? logit c)%nat then 1 else 0) * D k) +
                  - 1 * over n (fun k => (if (k =? logit j)%nat then 1 else 0) * D k)); [|ring].
    rewrite <- over_scale, <- over_plus. apply over_ext. intros. unfold difference. ring. }
  rewrite <- S. apply dual_bound; intros k Hk; now apply two_runs.
Qed.
End Two.

(** ** Probabilities *)

Let classes := length (logits net).

Lemma logits_finite v x p : image v -> execution net v x p -> forall c, (c < classes)%nat ->
  x (logit c) = Finite (real x (logit c)) /\ Rabs (real x (logit c)) <= largest / 2.
Proof.
  intros Hv Hx c Hc. destruct (logits_there _ V c Hc) as [L M].
  destruct (one_run v x p Hv Hx (logit c) L) as (E & W & _). split; [exact E|].
  apply Rle_trans with (2 := M). now apply within_magnitude.
Qed.

Lemma probability v x p : image v -> execution net v x p -> forall c, (c < classes)%nat ->
  exists y, p c = Finite y /\
    Rabs (y - softmax classes (fun j => real x (logit j)) c) <= softmax_error classes.
Proof.
  intros Hv Hx c Hc. assert (L := logits_finite v x p Hv Hx).
  apply (probabilities classes (few_classes _ V) (fun j => x (logit j)) p);
    [| |exact (proj2 Hx)|exact Hc].
  - intros j Hj. now apply L.
  - intros j Hj. now apply L.
Qed.

(** ** The theorem *)

(* map: local conditions on all units imply the statement for the network *)
Theorem valid_bound :
  always_finite net /\ last_bit_bound net (tanh (bound / 4) + 2 * softmax_error classes).
Proof.
  split.
  - intros v x p Hv Hx. split.
    + intros k Hk. exists (real x k). now apply (one_run v x p Hv Hx).
    + intros c Hc. destruct (probability v x p Hv Hx c Hc) as (y & E & _). now exists y.
  - intros v v' q x x' p p' c y y' Hv Hq Hn Hx Hx' Hc Ey Ey'.
    assert (Hv' := neighbour_image q v v' Hv Hn).
    destruct (probability v x p Hv Hx c Hc) as (z & Ez & Bz). rewrite Ey in Ez. injection Ez as <-.
    destruct (probability v' x' p' Hv' Hx' c Hc) as (z' & Ez' & Bz'). rewrite Ey' in Ez'.
    injection Ez' as <-.
    assert (S :
      Rabs (softmax classes (fun j => real x' (logit j)) c - softmax classes (fun j =>
        real x (logit j)) c)
                <= tanh (bound / 4)).
    { apply softmax_change; [exact Hc|]. intros j Hj.
      assert (K := logits_change q v v' x x' p p' Hq Hv Hv' Hn Hx Hx' j c Hj Hc).
      cbv beta zeta in K.
      replace (real x' (logit j) - real x' (logit c) - (real x (logit j) - real x (logit c))) with
        (real x' (logit j) - real x (logit j) - (real x' (logit c) - real x (logit c))) by ring.
        exact K. }
    set (s := softmax classes (fun j => real x (logit j)) c) in *.
    set (s' := softmax classes (fun j => real x' (logit j)) c) in *.
    replace (y' - y) with ((y' - s') + ((s' - s) + - (y - s))) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _). assert (T := Rabs_triang (s' - s) (- (y - s))).
    rewrite Rabs_Ropp in T. lra.
Qed.
End Annotation.
