(** * The units computed are those of the file

    - [node_ok]: what [node_units] computes for an operator are the stripped forms of units that
      stand for those of File.v, biases rounded;
    - [operand_before]: operands are earlier units;
    - [units_in_ok]: the same for the whole network.

    Rests on Outputs.v and Placement.v. *)

From Coq Require Import Reals Lra Lia List ZArith NArith Arith Bool Uint63.
From Lastbit Require Import Statement Totals operations.Convolution network.Near.
From Lastbit Require Import checker.Program checker.Numbers checker.Vectors checker.Annotation.
From Lastbit Require Import onnx.File onnx.Placement onnx.Units onnx.Reading onnx.Lists onnx.Outputs
  onnx.Added.
Import ListNotations.
Open Scope nat_scope.

(** ** Operators *)

Section Nodes.
Variables (file : list int) (ts : list tensor).

(** Units [us] are stripped forms of units that stand for [l]. *)
Definition computed (l : list operation) (us : list cunit) : Prop :=
  exists full, map strip full = us /\ Forall2 (near (real 1)) l (map denote full) /\
  Forall few full.

Lemma computed_plain l us : map denote us = l -> (forall o, In o us -> strip o = o /\ few o) ->
  computed l us.
Proof.
  intros <- H. exists us. split; [|split].
  - rewrite <- (map_id us) at 2. apply map_ext_in. intros o Ho. now apply H.
  - induction (map denote us); constructor; [constructor|assumption].
  - apply Forall_forall. intros o Ho. now apply H.
Qed.

(** One unit for each of another tensor, which it reads. *)
Lemma computed_curve (f : positive -> cunit) (g : nat -> operation) t :
  (forall j, denote (f j) = g (num j)) -> (forall j, strip (f j) = f j /\ few (f j)) ->
  computed (each t (fun _ n => g n)) (map f (all_keys t)).
Proof.
  intros D P. unfold all_keys. rewrite keys_from_are, map_map. apply computed_plain.
  - unfold each. rewrite map_map. apply map_ext. intros i. now rewrite D, num_key.
  - intros u Hu. apply in_map_iff in Hu. destruct Hu as (i & <- & _). apply P.
Qed.

(** The number by which is divided. *)
Lemma number_read c d z : stands file (fst c) (snd c) -> number_in file c d = Some z ->
  float_at file d 0 = Numbers.real z.
Proof.
  intros St H. unfold number_in in H.
  destruct (floats false [tt] (seek file c d)) as [[ys rest]|] eqn:F; [|discriminate].
  destruct (floats_read file (fun _ => 0) false d [tt] (seek file c d) ys rest 0) as (_ & ->
    & X); [|reflexivity|exact F|].
  { rewrite N.add_0_r. now apply seek_stands. }
  cbn in H. injection H as <-. apply exact_real. apply (X eq_refl tt). now left.
Qed.

Lemma over_read c over z : stands file (fst c) (snd c) -> over_in file c over = Some z ->
  over_of file over = divisor z.
Proof.
  intros St H. destruct over as [d|]; cbn [over_in] in H.
  - destruct (number_in file c d) as [y|] eqn:E; [|discriminate]. injection H as <-.
    cbn [over_of divisor].
    now rewrite (number_read c d y St E).
  - injection H as <-. reflexivity.
Qed.

Lemma few_at n o : terms_of o <= n -> (Z.of_nat n <= most_terms)%Z -> few o.
Proof. unfold few. lia. Qed.

Lemma node_ok c n us c' : stands file (fst c) (snd c) -> node_units file ts c n = Some (us, c') ->
  stands file (fst c') (snd c') /\ computed (units_of_node file ts n) us.
Proof.
  intros St H. destruct n as [ch h w|x d|x over others k|x|x|x|x s|xs];
    cbn [node_units units_of_node] in *.
  - injection H as <- <-. split; [exact St|]. apply computed_plain; [now rewrite map_map|].
    intros o Ho. apply in_map_iff in Ho. now destruct Ho as (p & <- & _).
  - destruct (number_in file c d) as [z|] eqn:F; [|discriminate]. injection H as <- <-.
    split; [exact St|].
    unfold all_keys. rewrite keys_from_are, map_map. apply computed_plain.
    + unfold each. rewrite map_map. apply map_ext. intros i. cbn [denote divisor over_of].
      unfold weighted, entries. cbn [map fst snd].
      now rewrite num_key, real_one, <- (number_read c d z St F).
    + intros u Hu. apply in_map_iff in Hu. now destruct Hu as (j & <- & _).
  - set (t := nth x ts nowhere) in *. destruct (_ && _)%bool eqn:L; [|discriminate].
    apply andb_prop in L. destruct L as [L1 L2].
    apply N.ltb_lt in L1. set (l := seek file c (weights_at k)) in *.
    assert (Sl : stands file (weights_at k) l) by now apply seek_stands.
    destruct (over_in file c over) as [z|] eqn:Z0; [|discriminate].
    rewrite (over_read c over z St Z0).
    destruct (channels_in _ _ l) as [[cs l1]|] eqn:C; [|discriminate].
    destruct (floats true _ _) as [[bs l2]|] eqn:Fb; [|discriminate].
    injection H as <- <-. split; [exact Sl|].
    set (per := channels t / w_groups k) in *.
    destruct (channels_read file (spot_index (w_rows k) (w_cols k)) (spots per (w_rows k) (w_cols
      k)) (weights_at k))
      with (3 := C) as [-> X].
    { now rewrite spots_length, spots_index. }
    { now rewrite N.add_0_r. }
    destruct (upto_read file true (weights_at k, l) (bias_at k) _ bs l2 Sl Fb) as [-> _].
    rewrite both_map, <- flat_map_concat_map.
    set (full := fun o => outputs_of z (N.of_nat (first t)) (N.of_nat (height t)) (N.of_nat (width
      t))
      (N.of_nat (w_stride_y k)) (N.of_nat (w_stride_x k)) (N.of_nat (w_top k)) (N.of_nat (w_left k))
      (N.of_nat (w_outputs k / w_groups k)) (N.of_nat per) (upto (w_height k)) (upto (w_width k))
      (N.of_nat o, map (fun s => (s, above (units_at file (weights_at k) (o * length (spots per
        (w_rows k) (w_cols k)) +
        spot_index (w_rows k) (w_cols k) s)))) (spots per (w_rows k) (w_cols k)))
      (N.of_nat o, above (units_at file (bias_at k) o))).
    assert (Fn : Forall2 (near (Numbers.real 1)) (convolution t (kernel_at file per k) (w_height k)
      (w_width k) (divisor z) (fun _ => []))
      (map denote (flat_map full (seq 0 (w_outputs k))))).
    { apply full_near. intros o s Ho Hs. apply X; [lia|exact Hs]. }
    assert (Fl : length (flat_map full (seq 0 (w_outputs k))) =
      w_outputs k * w_height k * w_width k).
    { rewrite <- (length_map denote), <- (Forall2_length Fn). unfold convolution. now rewrite
        length_map, length_seq. }
    assert (Ff : Forall (fun u => terms_of u <= S (per * w_rows k * w_cols k)) (flat_map full (seq
      0 (w_outputs k)))).
    { apply Forall_flat_map, Forall_forall. intros o _. eapply Forall_impl;
        [|apply make_few]. cbv beta. intros u Hu.
      now rewrite length_map, spots_length in Hu. }
    exists (with_tensors (flat_map full (seq 0 (w_outputs k))) (map (fun y =>
      first (nth y ts nowhere)) others)). split; [|split].
    + rewrite with_tensors_strip. f_equal. rewrite map_flat. apply flat_ext. intros o _.
      apply make_strip.
    + rewrite convolution_extra. change (Convolution.outputs (kernel_at file per k))
        with (w_outputs k).
      rewrite <- Fl.
      set (g := fun n => output t (kernel_at file per k) (divisor z) []
        (n / (w_height k * w_width k))
        (n / w_width k mod w_height k) (n mod w_width k)).
      assert (G : convolution t (kernel_at file per k) (w_height k) (w_width k) (divisor z) (fun _
        => []) =
        map g (seq 0 (length (flat_map full (seq 0 (w_outputs k)))))) by (rewrite Fl; reflexivity).
      rewrite G in Fn |- *. rewrite both_index. destruct others as [|y others].
      * rewrite (map_ext _ g) by (intros; apply extra_nothing). exact Fn.
      * destruct over as [d|]; [discriminate|]. injection Z0 as <-.
        assert (W := with_tensors_near (Numbers.real 1) (map (fun y =>
          first (nth y ts nowhere)) (y :: others)) g _ Fn).
        refine (eq_ind _ (fun l => Forall2 _ l _) (W _) _ _).
        -- apply Forall_flat_map, Forall_forall. intros o _. apply make_linear.
        -- apply map_ext. intros n. now rewrite map_map.
    + assert (W := with_tensors_few (map (fun y => first (nth y ts nowhere)) others) _ _ Ff).
      rewrite length_map in W.
      apply Forall_impl with (2 := W). intros u Hu. apply few_at with (1 := Hu).
      unfold most, most_terms in *. lia.
  - destruct (N.leb_spec (N.of_nat (area (nth x ts nowhere))) most) as [L|]; [|discriminate].
    injection H as <- <-. split; [exact St|]. set (t := nth x ts nowhere) in *.
    rewrite planes_are, map_map. apply computed_plain.
    + rewrite map_map. apply map_ext. intros o. cbn [denote divisor map]. f_equal.
      unfold weighted, entries. rewrite !map_map.
      rewrite INR_IZR_INZ. replace (IZR (Z.of_nat (area t)))
        with (Numbers.real (Z.of_nat (area t) * one)).
      * apply map_ext. intros i. cbn [fst snd]. now rewrite num_key, real_one.
      * unfold Numbers.real. rewrite mult_IZR, one_is. field.
    + intros u Hu. apply in_map_iff in Hu. destruct Hu as (o & <- & _). split.
      * cbn [strip]. f_equal. induction (map _ (seq 0 (area t))) as [|j l IH]; [reflexivity|]. cbn.
        now rewrite IH.
      * apply few_at with (area t); [|unfold most, most_terms in *; lia]. cbn [terms_of length].
        rewrite !length_map, length_seq. lia.
  - injection H as <- <-. split; [exact St|]. now apply (computed_curve CSilu Silu).
  - injection H as <- <-. split; [exact St|]. now apply (computed_curve CSigmoid Sigmoid).
  - injection H as <- <-. split; [exact St|].
    rewrite keys_from_are, planes_are, both_map, <- flat_map_concat_map. apply computed_plain.
    + rewrite map_flat, each_planes. apply flat_ext. intros o _. rewrite !map_map. apply map_ext.
      intros i. cbn [denote]. now rewrite !num_key.
    + intros u Hu. apply in_flat_map in Hu. destruct Hu as (o & _ & Hu). apply in_map_iff in Hu.
      now destruct Hu as (j & <- & _).
  - destruct (N.leb_spec (N.of_nat (length xs)) most) as [L|]; [|discriminate].
    injection H as <- <-. split; [exact St|].
    set (n := units_of (nth (hd 0 xs) ts nowhere)).
    set (us := map (fun _ => CLinear [] [] None) (seq 0 n)).
    assert (Lu : length us = n) by (unfold us; now rewrite length_map, length_seq).
    exists (with_tensors us (map (fun x => first (nth x ts nowhere)) xs)). split; [|split].
    + rewrite with_tensors_strip. f_equal. unfold us. rewrite map_map. reflexivity.
    + assert (W := with_tensors_near (Numbers.real 1) (map (fun x =>
        first (nth x ts nowhere)) xs) (fun _ => Sum [] []) us).
      rewrite Lu in W. refine (eq_ind _ (fun l => Forall2 _ l _) (W _ _) _ _).
      * unfold us. rewrite map_map. apply Forall2_map. intros i _. constructor.
      * unfold us. apply Forall_map, Forall_forall. intros i _. eexists. eexists. reflexivity.
      * apply map_ext. intros i. cbn [extra app]. now rewrite map_map.
    + assert (W := with_tensors_few (map (fun x => first (nth x ts nowhere)) xs) 0 us).
      rewrite length_map in W.
      apply Forall_impl with (2 := W ltac:(unfold us; apply Forall_map, Forall_forall; intros i _;
        cbn; lia)).
      intros u Hu. apply few_at with (1 := Hu). unfold most, most_terms in *. lia.
Qed.

Lemma nodes_ok ns : forall c uss, stands file (fst c) (snd c) ->
  nodes_units file ts c ns = Some uss ->
  exists full, map (map strip) full = uss /\
    Forall2 (near (real 1)) (flat_map (units_of_node file ts) ns) (map denote (concat full)) /\
    Forall few (concat full).
Proof.
  induction ns as [|n ns IH]; intros c uss St H; cbn [nodes_units] in H.
  - injection H as <-. exists []. repeat split; constructor.
  - destruct (node_units file ts c n) as [[us c']|] eqn:E; [|discriminate].
    destruct (nodes_units file ts c' ns) as [uss'|] eqn:R; [|discriminate]. injection H as <-.
    destruct (node_ok c n us c' St E) as (St' & f & F1 & F2 & F3).
    destruct (IH c' uss' St' R) as (full & G1 & G2 & G3). exists (f :: full).
    cbn [map flat_map concat]. rewrite F1, G1, map_app. split; [reflexivity|].
    split; [now apply Forall2_app|now apply Forall_app].
Qed.
End Nodes.

(** ** Operands *)

Lemma sizes_before ts i j t : nth_error ts j = Some t -> j < i ->
  sizes (firstn j ts) + units_of t <= sizes (firstn i ts).
Proof.
  intros H L. assert (E : firstn i ts = firstn (S j) ts ++ firstn (i - S j) (skipn (S j) ts)).
  { rewrite <- (firstn_skipn (S j) (firstn i ts)) at 1. rewrite firstn_firstn, Nat.min_l by lia.
    f_equal. now rewrite skipn_firstn_comm. }
  rewrite E, (firstn_S ts j t H). unfold sizes. rewrite !map_app, !list_sum_app. cbn. lia.
Qed.

Lemma operand_before file ns k o j : sound ns = true ->
  nth_error (units (network_of_file file ns)) k = Some o ->
  In j (operands o) -> j < k.
Proof.
  intros Hs Ho Hj. destruct (unit_placed file ns Hs k o Ho) as (i & n & r & E & -> & _ & Hr).
  destruct (operands_placed file ns Hs i n r o j E Hr Hj) as (x & Hx & W).
  destruct (sound_nth ns Hs i n E) as [R _]. specialize (R x Hx).
  assert (Li : i < length ns) by (apply nth_error_Some; congruence).
  destruct (nth_error ns x) as [m|] eqn:Ex; [|apply nth_error_None in Ex; lia].
  assert (Et : nth_error (layout ns) x = Some (tensor_at ns x))
    by (apply nth_error_nth'; rewrite layout_length; lia).
  assert (B := sizes_before (layout ns) i x _ Et R).
  rewrite <- (tensor_first ns x m Ex), <- (tensor_first ns i n E) in B. unfold within in W. lia.
Qed.

(* map: the units computed of an ONNX file are those that it stands for *)
Theorem units_in_ok file ns uss : sound ns = true -> units_in file ns = Some uss ->
  exists full : list (list cunit),
    map (map strip) full = uss /\
    pixels (network_of_file file ns) = image_pixels ns /\
    logits (network_of_file file ns) = map num (logit_keys ns) /\
    Forall2 (near (real 1)) (units (network_of_file file ns)) (map denote (concat full)) /\
    (forall k o, nth_error (concat full) k = Some o ->
      (forall j, In j (reads_of o) -> num j < k) /\ few o).
Proof.
  intros Hs H.
  destruct (nodes_ok file (layout ns) ns (0%N, file) uss) as (full & F1 & F2 & F3);
    [reflexivity|exact H|].
  exists full. split; [exact F1|]. split; [reflexivity|]. split; [|split; [exact F2|]].
  - cbn [logits network_of_file]. unfold tensor_units, logit_keys, all_keys.
    rewrite keys_from_are, map_map, seq_from. apply map_ext. intros i. now rewrite num_key.
  - intros k o Ho. split; [|rewrite Forall_forall in F3; apply F3; now apply nth_error_In with k].
    intros j Hj.
    assert (E : nth_error (map denote (concat full)) k = Some (denote o))
      by now apply map_nth_error.
    assert (N : forall l m k y, Forall2 (near (real 1)) l m -> nth_error m k = Some y ->
      exists x, nth_error l k = Some x /\ near (real 1) x y).
    { clear. intros l m k y K. revert k.
      induction K as [|a b l m K1 K IH]; intros [|k] E; try discriminate.
      - injection E as <-. now exists a.
      - exact (IH k E). }
    destruct (N _ _ _ _ F2 E) as (p & Ep & Np). apply (operand_before file ns k p _ Hs Ep).
    rewrite (near_operands _ _ _ Np), operands_denote.
    now apply in_map.
Qed.
