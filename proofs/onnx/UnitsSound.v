(** * The units computed are those of the file

    - [node_ok]: what [node_units] computes for an operator are the stripped forms of units that stand for
      those of File.v, biases rounded;
    - [operand_before]: operands are earlier units;
    - [units_in_ok]: the same for the whole network.

    Rests on Outputs.v and Placement.v. *)

From Coq Require Import Reals Lra Lia List ZArith NArith Arith Bool Uint63.
From Lastbit Require Import Statement operations.Convolution network.Near.
From Lastbit Require Import checker.Program checker.Numbers checker.Annotation.
From Lastbit Require Import onnx.File onnx.Placement onnx.Units onnx.Reading onnx.Outputs.
Import ListNotations.
Open Scope nat_scope.

(** ** Operators *)

Section Nodes.
Variables (file : list int) (ts : list tensor).

(** Units [us] are stripped forms of units that stand for [l]. *)
Definition computed (l : list operation) (us : list cunit) : Prop :=
  exists full, map strip full = us /\ Forall2 (near (real 1)) l (map denote full) /\ Forall few full.

Lemma computed_plain l us : map denote us = l -> (forall o, In o us -> strip o = o /\ few o) -> computed l us.
Proof.
  intros <- H. exists us. split; [|split].
  - rewrite <- (map_id us) at 2. apply map_ext_in. intros o Ho. now apply H.
  - induction (map denote us); constructor; [constructor|assumption].
  - apply Forall_forall. intros o Ho. now apply H.
Qed.

Lemma node_ok c n us c' : stands file (fst c) (snd c) -> node_units file ts c n = Some (us, c') ->
  stands file (fst c') (snd c') /\ computed (units_of_node file ts n) us.
Proof.
  intros St H.
  destruct n as [ch h w|x d|x weights_at bias_at outputs groups rows cols stride_y stride_x top left h w|x|x|x|x s|x y];
    cbn [node_units units_of_node] in *.
  - injection H as <- <-. split; [exact St|]. apply computed_plain; [now rewrite map_map|].
    intros o Ho. apply in_map_iff in Ho. now destruct Ho as (p & <- & _).
  - destruct (floats false _ _) as [[ys l']|] eqn:F; [|discriminate]. injection H as <- <-. split; [exact St|].
    destruct (upto_read file false c d _ ys l' St F) as [-> X]. specialize (X eq_refl). set (t := nth x ts nowhere) in *.
    rewrite planes_are, both_map, <- flat_map_concat_map. apply computed_plain.
    + rewrite map_flat, each_planes. apply flat_ext. intros o Ho. apply in_seq in Ho. rewrite !map_map. apply map_ext. intros i.
      cbn [denote snd]. rewrite num_key, <- exact_real by (apply X; lia). reflexivity.
    + intros u Hu. apply in_flat_map in Hu. destruct Hu as (o & _ & Hu). apply in_map_iff in Hu.
      now destruct Hu as (j & <- & _).
  - set (t := nth x ts nowhere) in *.
    destruct (N.ltb_spec (N.of_nat (channels t / groups) * N.of_nat rows * N.of_nat cols) most) as [L|]; [|discriminate].
    set (l := seek file c weights_at) in *. assert (Sl : stands file weights_at l) by now apply seek_stands.
    destruct (channels_in _ _ l) as [[cs l1]|] eqn:C; [|discriminate].
    destruct (floats true _ _) as [[bs l2]|] eqn:F; [|discriminate].
    injection H as <- <-. split; [exact Sl|].
    destruct (channels_read file (spot_index rows cols) (spots (channels t / groups) rows cols) weights_at)
      with (3 := C) as [-> X].
    { now rewrite spots_length, spots_index. }
    { now rewrite N.add_0_r. }
    destruct (upto_read file true (weights_at, l) bias_at _ bs l2 Sl F) as [-> _].
    rewrite both_map, <- flat_map_concat_map. eexists. split; [|split].
    2: { apply full_near. intros o s Ho Hs. apply X; [lia|exact Hs]. }
    + rewrite map_flat. apply flat_ext. intros o _. apply make_strip.
    + apply Forall_flat_map, Forall_forall. intros o _. apply make_few. rewrite map_length, spots_length.
      unfold most, most_terms in *. lia.
  - destruct (N.leb_spec (N.of_nat (area (nth x ts nowhere))) most) as [L|]; [|discriminate]. injection H as <- <-.
    split; [exact St|].
    set (t := nth x ts nowhere) in *. rewrite planes_are, map_map. apply computed_plain.
    + rewrite map_map. apply map_ext. intros o. cbn [denote]. rewrite map_map. f_equal. apply map_ext. intros i. apply num_key.
    + intros u Hu. apply in_map_iff in Hu. destruct Hu as (o & <- & _). split; [reflexivity|]. unfold few, terms_of.
      rewrite map_length, seq_length. unfold most, most_terms in *. lia.
  - injection H as <- <-. split; [exact St|]. unfold all_keys. rewrite keys_from_are, map_map. apply computed_plain.
    + unfold each. rewrite map_map. apply map_ext. intros i. cbn [denote]. now rewrite num_key.
    + intros u Hu. apply in_map_iff in Hu. now destruct Hu as (o & <- & _).
  - injection H as <- <-. split; [exact St|]. unfold all_keys. rewrite keys_from_are, map_map. apply computed_plain.
    + unfold each. rewrite map_map. apply map_ext. intros i. cbn [denote]. now rewrite num_key.
    + intros u Hu. apply in_map_iff in Hu. now destruct Hu as (o & <- & _).
  - injection H as <- <-. split; [exact St|]. rewrite keys_from_are, planes_are, both_map, <- flat_map_concat_map.
    apply computed_plain.
    + rewrite map_flat, each_planes. apply flat_ext. intros o _. rewrite !map_map. apply map_ext. intros i. cbn [denote].
      now rewrite !num_key.
    + intros u Hu. apply in_flat_map in Hu. destruct Hu as (o & _ & Hu). apply in_map_iff in Hu.
      now destruct Hu as (j & <- & _).
  - injection H as <- <-. split; [exact St|]. unfold all_keys. rewrite !keys_from_are, both_map. apply computed_plain.
    + rewrite map_map. apply map_ext. intros i. cbn [denote]. now rewrite !num_key.
    + intros u Hu. apply in_map_iff in Hu. now destruct Hu as (o & <- & _).
Qed.

Lemma nodes_ok ns : forall c uss, stands file (fst c) (snd c) -> nodes_units file ts c ns = Some uss ->
  exists full, map (map strip) full = uss /\
    Forall2 (near (real 1)) (flat_map (units_of_node file ts) ns) (map denote (concat full)) /\ Forall few (concat full).
Proof.
  induction ns as [|n ns IH]; intros c uss St H; cbn [nodes_units] in H.
  - injection H as <-. exists []. repeat split; constructor.
  - destruct (node_units file ts c n) as [[us c']|] eqn:E; [|discriminate].
    destruct (nodes_units file ts c' ns) as [uss'|] eqn:R; [|discriminate]. injection H as <-.
    destruct (node_ok c n us c' St E) as (St' & f & F1 & F2 & F3). destruct (IH c' uss' St' R) as (full & G1 & G2 & G3).
    exists (f :: full). cbn [map flat_map concat]. rewrite F1, G1, map_app. split; [reflexivity|].
    split; [now apply Forall2_app|now apply Forall_app].
Qed.
End Nodes.

(** ** Operands *)

Lemma sizes_before ts i j t : nth_error ts j = Some t -> j < i -> sizes (firstn j ts) + units_of t <= sizes (firstn i ts).
Proof.
  intros H L. assert (E : firstn i ts = firstn (S j) ts ++ firstn (i - S j) (skipn (S j) ts)).
  { rewrite <- (firstn_skipn (S j) (firstn i ts)) at 1. rewrite firstn_firstn, Nat.min_l by lia. f_equal.
    now rewrite skipn_firstn_comm. }
  rewrite E, (firstn_S ts j t H). unfold sizes. rewrite !map_app, !list_sum_app. cbn. lia.
Qed.

Lemma operand_before file ns k o j : sound ns = true -> nth_error (units (network_of_file file ns)) k = Some o ->
  In j (operands o) -> j < k.
Proof.
  intros Hs Ho Hj. destruct (unit_placed file ns Hs k o Ho) as (i & n & r & E & -> & _ & Hr).
  destruct (operands_placed file ns Hs i n r o j E Hr Hj) as (x & Hx & W). destruct (sound_nth ns Hs i n E) as [R _].
  specialize (R x Hx). assert (Li : i < length ns) by (apply nth_error_Some; congruence).
  destruct (nth_error ns x) as [m|] eqn:Ex; [|apply nth_error_None in Ex; lia].
  assert (Et : nth_error (layout ns) x = Some (tensor_at ns x)) by (apply nth_error_nth'; rewrite layout_length; lia).
  assert (B := sizes_before (layout ns) i x _ Et R). rewrite <- (tensor_first ns x m Ex), <- (tensor_first ns i n E) in B.
  unfold within in W. lia.
Qed.

Theorem units_in_ok file ns uss : sound ns = true -> units_in file ns = Some uss ->
  exists full : list (list cunit),
    map (map strip) full = uss /\
    pixels (network_of_file file ns) = image_pixels ns /\
    logits (network_of_file file ns) = map num (logit_keys ns) /\
    Forall2 (near (real 1)) (units (network_of_file file ns)) (map denote (concat full)) /\
    (forall k o, nth_error (concat full) k = Some o -> (forall j, In j (reads_of o) -> num j < k) /\ few o).
Proof.
  intros Hs H. destruct (nodes_ok file (layout ns) ns (0%N, file) uss) as (full & F1 & F2 & F3); [reflexivity|exact H|].
  exists full. split; [exact F1|]. split; [reflexivity|]. split; [|split; [exact F2|]].
  - cbn [logits network_of_file]. unfold tensor_units, logit_keys, all_keys. rewrite keys_from_are, map_map, seq_from.
    apply map_ext. intros i. now rewrite num_key.
  - intros k o Ho. split; [|rewrite Forall_forall in F3; apply F3; now apply nth_error_In with k]. intros j Hj.
    assert (E : nth_error (map denote (concat full)) k = Some (denote o)) by now apply map_nth_error.
    assert (N : forall l m k y, Forall2 (near (real 1)) l m -> nth_error m k = Some y ->
      exists x, nth_error l k = Some x /\ near (real 1) x y).
    { clear. intros l m k y K. revert k. induction K as [|a b l m K1 K IH]; intros [|k] E; try discriminate.
      - injection E as <-. now exists a.
      - exact (IH k E). }
    destruct (N _ _ _ _ F2 E) as (p & Ep & Np). apply (operand_before file ns k p _ Hs Ep).
    rewrite (near_operands _ _ _ Np), operands_denote.
    now apply in_map.
Qed.
