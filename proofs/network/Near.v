(** * Networks whose biases are rounded

    The checker's numbers are integers over 2^100; a network may have biases that are not.

    - [near]: the same unit, but for a bias rounded away from 0, by at most [far];
    - [near_valid]: what is [valid] for the rounded network is so for the other one, if sums with a
      bias have room for [far] in their rest.

    Rests on Bound.v and Rules.v. *)

From Coq Require Import Reals Lra Lia List ZArith.
From Lastbit Require Import Statement Totals binary32.Terms binary32.Folds binary32.Additions
  operations.Units.
From Lastbit Require Import network.Duals network.Forms network.Bound network.Rules.
Import ListNotations.
Open Scope R_scope.

Inductive near (far : R) : operation -> operation -> Prop :=
| near_same o : near far o o
| near_bias ws b b' : Rabs b <= Rabs b' -> Rabs (b - b') <= far ->
    near far (Sum ws [([], b)]) (Sum ws [([], b')]).

Lemma near_operands far o o' : near far o o' -> operands o = operands o'.
Proof. now destruct 1. Qed.

(** A smaller bias has no larger rounding. *)
Lemma near_noise far o o' X F rho : near far o o' -> noise X F o' rho -> noise X F o rho.
Proof.
  intros N. destruct N as [|ws b b' Hb _]; [easy|]. cbn [noise].
  intros (ms & K & L & P & S & N1 & N2 & N3 & N4 & N5 & N6).
  assert (M : Terms.magnitude ([], b) <= Terms.magnitude ([], b')) by (unfold Terms.magnitude;
    now rewrite !exact_bias).
  exists ms, K, L, P, S. split; [exact N1|]. split; [|split; [|split; [|split]]].
  - inversion_clear N2 as [|? ? (A & B & C) _]. constructor; [|constructor]. now split.
  - unfold magnitudes in *. cbn [map] in *. clear -N3 M. revert ms N3.
    induction ws as [|w ws IH]; cbn [map app]; intros ms N3; inversion N3 as [|? ? ? ? H1 H2];
      constructor.
    + lra.
    + exact H2.
    + exact H1.
    + now apply IH.
  - apply Rle_trans with (2 := N4). unfold charges. cbn [map]. rewrite !total_cons.
    unfold charged, cost. cbn. lra.
  - apply Rle_trans with (2 := N5). unfold spreads, spread. cbn [map]. rewrite !total_cons.
    unfold spread_of, room. cbn. lra.
  - exact N6.
Qed.

(** ** Annotations *)

Lemma near_ideal far ws b b' v r : Rabs (b - b') <= far ->
  Rabs (ideal (Sum ws [([], b)]) v r - ideal (Sum ws [([], b')]) v r) <= far /\
  (forall v' r', ideal (Sum ws [([], b)]) v' r' - ideal (Sum ws [([], b)]) v r =
    ideal (Sum ws [([], b')]) v' r' - ideal (Sum ws [([], b')]) v r).
Proof.
  intros H. assert (E : forall c v r, ideal (Sum ws [([], c)]) v r = exact_sum (terms ws [] r) + c).
  { intros. cbn [ideal]. unfold terms. rewrite !exact_sum_app. unfold exact_sum at 2 4. cbn [map
      total fold_right].
    rewrite exact_bias. ring. }
  split; [|intros]; rewrite !E; [|lra]. replace (_ - _) with (b - b') by ring. exact H.
Qed.

Section Near.
Variables (far : R) (net net' : network) (ann : annotation) (bound : R).
Hypothesis same_pixels : pixels net = pixels net'.
Hypothesis same_logits : logits net = logits net'.
Hypothesis near_units : Forall2 (near far) (units net) (units net').
Hypothesis room : forall k ws b, nth_error (units net') k = Some (Sum ws [([], b)]) -> forall v r,
  image v -> (forall j, (j < k)%nat -> within ann j (r j)) ->
  Rabs (ideal (Sum ws [([], b)]) v r - offset ann k - read_through (kept ann) r k) + far <=
    rest ann k.
Hypothesis V : valid net' ann bound.

(* map: what is valid with biases moved a little is valid for the network *)
Theorem near_valid : valid net ann bound.
Proof.
  constructor.
  - intros k o Ho j Hj. destruct (Forall2_nth_error _ _ _ _ _ near_units Ho) as (o' & Ho' & N).
    rewrite (near_operands _ _ _ N) in Hj. exact (ordered _ _ _ V k o' Ho' j Hj).
  - intros k o Ho. destruct (Forall2_nth_error _ _ _ _ _ near_units Ho) as (o' & Ho' & N).
    destruct (roundings _ _ _ V k o' Ho') as (X & F & HX & HF & Hn).
    exists X, F. rewrite (near_operands _ _ _ N). split; [exact HX|]. split; [exact HF|].
    exact (near_noise far o o' X F _ N Hn).
  - intros k o Ho v r Hv Hr. destruct (Forall2_nth_error _ _ _ _ _ near_units Ho) as (o' & Ho' & N).
    destruct N as [o|ws b b' _ Hb]; [exact (values _ _ _ V k o Ho' v r Hv Hr)|].
    destruct (near_ideal far ws b b' v r Hb) as [D _].
    apply Rle_trans with (2 := room k ws b' Ho' v r Hv Hr).
    match goal with |- Rabs (?i - ?a - ?b) <= Rabs (?i' - _ - _) + _ =>
      replace (i - a - b) with ((i' - a - b) + (i - i')) by ring end.
    apply Rle_trans with (1 := Rabs_triang _ _). lra.
  - intros k o Ho q v v' r r' Hq. rewrite same_pixels in Hq.
    destruct (Forall2_nth_error _ _ _ _ _ near_units Ho) as (o' & Ho' & N).
    assert (C := changes _ _ _ V k o' Ho' q v v' r r' Hq).
    destruct N as [o|ws b b' _ Hb]; [exact C|].
    now rewrite (proj2 (near_ideal far ws b b' v r Hb) v' r').
  - intros k Hk. rewrite (Forall2_length near_units) in Hk. exact (errors _ _ _ V k Hk).
  - intros q k Hq Hk. rewrite same_pixels in Hq. rewrite (Forall2_length near_units) in Hk.
    exact (owns _ _ _ V q k Hq Hk).
  - intros c Hc. rewrite (Forall2_length near_units). unfold logit. rewrite same_logits in *.
    exact (logits_there _ _ _ V c Hc).
  - rewrite same_logits. exact (few_classes _ _ _ V).
  - intros q c j Hq Hc Hj. rewrite same_pixels in Hq. rewrite same_logits in Hc, Hj.
    assert (B := bounded _ _ _ V q c j Hq Hc Hj). unfold logit_bound, difference, logit in *.
    now rewrite (Forall2_length near_units), same_logits.
Qed.
End Near.
