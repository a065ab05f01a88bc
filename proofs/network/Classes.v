(** * Bound (1) and the order of two classes

    A checker asks for pairs of different classes in one order. With dual vectors that are each
    other's negatives the other order has the same bound ([bound_swapped]), and a class with itself
    has 0 ([bound_same]).

    Rests on Bound.v. *)

From Coq Require Import Reals Lra Lia.
From Lastbit Require Import Statement Totals network.Duals network.Bound.
Open Scope R_scope.

Lemma bound_swapped net ann q c j : (forall k, dual ann c j k = - dual ann j c k) ->
  logit_bound net ann q c j = logit_bound net ann q j c.
Proof.
  intros D.
  assert (P : forall k, defect (length (units net)) (core ann) (difference net c j)
    (dual ann c j) k =
    - defect (length (units net)) (core ann) (difference net j c) (dual ann j c) k).
  { intros k. unfold defect, difference, pulled_back. rewrite D.
    rewrite (over_ext _ _ (fun i =>
      -1 * (if (k <? i)%nat then core ann i k * dual ann j c i else 0))).
    - rewrite over_scale. lra.
    - intros i _. rewrite D. destruct (k <? i)%nat; lra. }
  unfold logit_bound. cbv zeta.
  f_equal; apply over_ext; intros k _; [rewrite D|rewrite P]; now rewrite Rabs_Ropp.
Qed.

Lemma bound_same net ann q c : (forall k, dual ann c c k = 0) -> logit_bound net ann q c c = 0.
Proof.
  intros D. assert (O : forall m f, (forall k, f k = 0) -> over m f = 0).
  { intros m f F. rewrite (over_cut m 0); [reflexivity|lia|]. intros k _. apply F. }
  unfold logit_bound. cbv zeta. rewrite !O; [lra| |]; intros k; rewrite ?D.
  - unfold defect, difference, pulled_back. rewrite D, O.
    { match goal with |- Rabs ?t * _ = 0 => replace t with 0 by ring end. rewrite Rabs_R0. lra. }
    intros i. rewrite D. destruct (k <? i)%nat; lra.
  - rewrite Rabs_R0. lra.
Qed.
