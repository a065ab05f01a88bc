(** * The operators of a file, one by one

    - [as_written_execution]: an execution of the network as it is written is one of the network in
      normal form, about which the theorem of a file speaks, if that one is [always_finite];
    - [as_written_finite], [as_written_bound]: so what holds of the one holds of the other.

    Rests on TakenIn.v and Written.v. IeeeFile.v goes on from here. *)

From Coq Require Import Reals List Arith Lia Uint63.
From Lastbit Require Import Statement operations.Convolution.
From Lastbit Require Import network.Neighbours network.Bound network.Exists network.Written.
From Lastbit Require Import onnx.File onnx.Placement onnx.Normal onnx.Joined onnx.Lists onnx.Outputs
  onnx.UnitsSound onnx.TakenIn.
Import ListNotations.
Open Scope nat_scope.

Lemma flat_pairs {A B C D} (P : C -> D -> Prop) (f : A -> list C) (g : B -> list D) :
  forall l l', length l = length l' ->
  (forall i a b, nth_error l i = Some a -> nth_error l' i = Some b -> Forall2 P (f a) (g b)) ->
  Forall2 P (flat_map f l) (flat_map g l').
Proof.
  induction l as [|a l IH]; intros [|b l'] L H; try discriminate; [constructor|]. cbn [flat_map].
  apply Forall2_app; [now apply (H 0)|]. apply IH; [now injection L|]. intros i. exact (H (S i)).
Qed.

Section Written.
Variables (file : list int) (raw ns : list node).
Hypothesis Hraw : sound raw = true.
Hypothesis Hns : sound ns = true.
Hypothesis Hn : normal_form raw = Some ns.

Let same_length : length ns = length raw := same_length raw ns Hn.
Let same_layout : layout raw = layout ns := same_layout raw ns Hraw Hns Hn.
Notation ts := (layout raw).
Let us : list operation := units (network_as_written file raw).
Let us' : list operation := units (network_of_file file ns).

Theorem file_written : written (network_as_written file raw) (network_of_file file ns).
Proof.
  split.
  - cbn [logits network_as_written network_of_file]. unfold tensor_units.
    now rewrite same_layout, same_length.
  - assert (U : us' = flat_map (units_of_node file ts) ns) by (unfold us';
      cbn [units network_of_file]; now rewrite same_layout).
    change (Forall2 (taken us us') us us'). rewrite U at 2.
    apply flat_pairs; [symmetry; apply same_length|].
    intros i n n' E E'. destruct (node_joined raw ns Hn i n E) as (m & Em & J). rewrite Em in E'.
    injection E' as ->. exact (node_taken file raw ns Hraw Hns Hn i n n' E Em J).
Qed.

Lemma as_many : length us = length us'.
Proof. destruct file_written as [_ W]. fold us us' in W. induction W; cbn; congruence. Qed.

Lemma written_operands n : Forall2 (fun o o' =>
  operands o = operands o') (units_of_node file ts n) (units_as_written file ts n).
Proof.
  assert (Refl : forall l, Forall2 (fun o o' =>
    operands o = operands o') l l) by (induction l; constructor; auto).
  destruct n; cbn [units_as_written]; try apply Refl; cbn [units_of_node]; unfold each;
    apply Forall2_map; intros m _; cbn [operands].
  - reflexivity.
  - unfold added, weighted. now rewrite !map_map.
Qed.

Lemma written_earlier : earlier us.
Proof.
  intros k o E j Hj. destruct (forall2_nth (fun o' o =>
    operands o' = operands o) (units (network_of_file file raw)) us k o) as (o' & E' & Eo).
  - unfold us. cbn [units network_of_file network_as_written]. apply flat_pairs; [reflexivity|].
    intros i n n' E1 E2.
    assert (n' = n) as -> by congruence. apply written_operands.
  - exact E.
  - rewrite <- Eo in Hj. exact (operand_before file raw k o' j Hraw E' Hj).
Qed.

(* map: a file whose operators are run one by one is an execution of its sums *)
Theorem as_written_execution v x p : always_finite (network_of_file file ns) -> image v ->
  execution (network_as_written file raw) v x p -> execution (network_of_file file ns) v x p.
Proof.
  intros F Hv X. apply (written_execution (network_as_written file raw) (network_of_file file ns));
    try assumption.
  - exact file_written.
  - exact written_earlier.
  - intros k o E j Hj. exact (operand_before file ns k o j Hns E Hj).
  - destruct X as [_ (k & _ & _ & _ & Hk & _)]. rewrite <- (proj1 file_written). intros E.
    rewrite E in Hk. cbn in Hk. lia.
Qed.

Theorem as_written_finite : always_finite (network_of_file file ns) ->
  always_finite (network_as_written file raw).
Proof.
  intros F v x p Hv X. destruct (F v x p Hv (as_written_execution v x p F Hv X)) as [A B].
  assert (L := as_many). unfold us, us' in L. rewrite L, (proj1 file_written). now split.
Qed.

Theorem as_written_bound U : always_finite (network_of_file file ns) ->
  last_bit_bound (network_of_file file ns) U ->
  last_bit_bound (network_as_written file raw) U.
Proof.
  intros F B v v' q x x' p p' c y y' Hv Hq N X X' Hc E E'.
  assert (Hv' := neighbour_image q v v' Hv N).
  assert (Lg : logits (network_as_written file raw) =
    logits (network_of_file file ns)) by apply file_written.
  apply (B v v' q x x' p p' c y y' Hv); [|exact N|now apply as_written_execution
    |now apply as_written_execution| |exact E|exact E'].
  - cbn [pixels network_as_written network_of_file] in *. now rewrite <- same_layout.
  - now rewrite <- Lg.
Qed.
End Written.
