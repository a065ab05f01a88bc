(** * Normal form, operator by operator

    - [node_joined]: each operator of the normal form is what [join] makes of the one with its
      number;
    - [addend_is]: what an addition takes in; [same_layout]: the tensors stay where they are.

    Rests on Normal.v and Placement.v. *)

From Coq Require Import List NArith Arith Bool Lia.
From Lastbit Require Import Totals operations.Convolution onnx.File onnx.Placement onnx.Normal.
Import ListNotations.
Open Scope nat_scope.

Lemma joined_nth all after : forall before ns, joined all before after = Some ns ->
  length ns = length before + length after /\ firstn (length before) ns = before /\
  forall i n, nth_error after i = Some n -> exists n', nth_error ns (length before + i) = Some n' /\
    join all (firstn (length before + i) ns) n = Some n'.
Proof.
  induction after as [|n after IH]; intros before ns H; cbn [joined] in H.
  - injection H as <-. split; [cbn; lia|]. split; [apply firstn_all|]. intros [|i]; discriminate.
  - destruct (join all before n) as [n'|] eqn:J; [|discriminate].
    destruct (IH _ _ H) as (L & F & E).
    rewrite length_app in L, F. cbn [length] in *. split; [lia|].
    assert (F' : firstn (length before) ns = before).
    { replace (length before) with (Nat.min (length before) (length before +
        1)) by lia. rewrite <- firstn_firstn, F.
      rewrite firstn_app, firstn_all, Nat.sub_diag. cbn. apply app_nil_r. }
    split; [exact F'|]. intros [|i] m Hm; cbn [nth_error] in Hm.
    + injection Hm as <-. exists n'. rewrite Nat.add_0_r, F'. split; [|exact J].
      assert (N := firstn_skipn (length before + 1) ns). rewrite F in N.
      rewrite <- N, <- app_assoc, nth_error_app2, Nat.sub_diag by lia. reflexivity.
    + destruct (E i m Hm) as (m' & E1 & E2). rewrite length_app in *. cbn [length] in *.
      replace (length before + S i) with (length before + 1 + i) by lia. now exists m'.
Qed.

Section Joined.
Variables raw ns : list node.
Hypothesis Hraw : sound raw = true.
Hypothesis Hns : sound ns = true.
Hypothesis Hn : normal_form raw = Some ns.

Lemma all_joined : joined raw [] raw = Some ns.
Proof. revert Hn. unfold normal_form. now destruct (forallb _ _). Qed.

Lemma same_length : length ns = length raw.
Proof. now destruct (joined_nth _ _ _ _ all_joined) as (-> & _). Qed.

Lemma node_joined i n : nth_error raw i = Some n -> exists n', nth_error ns i = Some n' /\
  join raw (firstn i ns) n = Some n'.
Proof. destruct (joined_nth _ _ _ _ all_joined) as (_ & _ & H). exact (H i n). Qed.

(** An addend of operator [i] is an earlier operator [x], in normal form. *)
Lemma addend_is i x a : x < i -> addend_of raw (firstn i ns) x = Some a ->
  a = Tensors [x] \/ (exists zs, nth_error ns x = Some (Plus zs) /\ a = Tensors zs) \/
  (exists z over others k, nth_error ns x = Some (Conv z over others k) /\
    a = Convolved z over others k).
Proof.
  intros L. unfold addend_of, node_at. rewrite nth_firstn by exact L.
  destruct (alone raw x); [|intros [= <-]; now left].
  destruct (nth_error ns x) as [n|] eqn:E.
  - rewrite (nth_error_nth ns x _ E).
    destruct n; intros [= <-]; try (now left); right; [right|left]; eauto 10.
  - rewrite nth_overflow by (now apply nth_error_None). intros [= <-]. now left.
Qed.

(** ** The same tensors *)

Lemma same_prefix i : i <= length raw -> firstn i (layout raw) = firstn i (layout ns).
Proof.
  induction i as [|i IH]; intros L; [reflexivity|]. specialize (IH ltac:(lia)).
  destruct (nth_error raw i) as [n|] eqn:E; [|apply nth_error_None in E; lia].
  destruct (node_joined i n E) as (n' & E' & J).
  assert (T : tensor_at raw i = tensor_at ns i).
  { rewrite (tensor_is raw i n E), (tensor_is ns i n' E'), IH. set (ts := firstn i (layout ns)).
    assert (Shape : forall x, x < i -> nth x ts nowhere = tensor_at ns x /\
      nth x (layout raw) nowhere = tensor_at ns x).
    { intros x Hx. unfold ts, tensor_at. rewrite nth_firstn by exact Hx. split; [reflexivity|].
      now rewrite <- (nth_firstn (layout raw) i x nowhere Hx), IH, nth_firstn. }
    destruct n as [c h w|x d|x over others k|x|x|x|x s|xs]; cbn [join] in J;
      try (injection J as <-; reflexivity).
    - destruct (node_at _ x); try discriminate; injection J as <-; reflexivity.
    - destruct over, others; try discriminate.
      destruct (node_at _ x); try (injection J as <-; reflexivity).
      destruct (alone raw x); injection J as <-; reflexivity.
    - destruct (node_at _ x); try discriminate; injection J as <-; reflexivity.
    - destruct xs as [|x [|y [|? ?]]]; try discriminate.
      destruct (sound_nth raw Hraw i _ E) as [R Fi].
      assert (Rx := R x (or_introl eq_refl)). assert (Ry := R y (or_intror (or_introl eq_refl))).
      destruct (Shape x Rx) as [Sx Sx']. destruct (Shape y Ry) as [Sy Sy'].
      cbn [fits forallb] in Fi. unfold same_shape in Fi.
      rewrite Sx', Sy', !andb_true_iff, !Nat.eqb_eq in Fi.
      destruct Fi as [[[F1 F2] F3] _].
      destruct (addend_of raw (firstn i ns) x) as [a|] eqn:Ax; [|discriminate].
      destruct (addend_of raw (firstn i ns) y) as [b|] eqn:Ay; [|now destruct a].
      destruct (addend_is i y b Ry Ay) as [->|[(zs & Ez & ->)|(z & over & others & k & Ez & ->)]].
      1,2: destruct (addend_is i x a Rx Ax) as [->|[(zs' & Ez' & ->)
        |(z' & over & others & k & Ez' & ->)]]; injection J as <-.
      1,4: reflexivity.
      1,3: cbn [tensor_of hd]; rewrite Sx; destruct (sound_nth ns Hns x _ Ez') as [R' F'];
        destruct zs' as [|z0 zs']; [discriminate|];
        cbn [app hd]; rewrite (tensor_is ns x _ Ez'); cbn [tensor_of hd];
          assert (Z := R' z0 (or_introl eq_refl));
        unfold ts; rewrite !nth_firstn by lia; reflexivity.
      1,2: cbn [tensor_of hd]; rewrite Sx, (tensor_is ns x _ Ez'); reflexivity.
      destruct (addend_is i x a Rx Ax) as [->|[(zs' & Ez' & ->)
        |(z' & over' & others' & k' & Ez' & ->)]]; try discriminate; injection J as <-;
        cbn [tensor_of hd]; rewrite Sx; unfold at_place; rewrite F1, F2, F3,
          (tensor_is ns y _ Ez); reflexivity. }
  assert (Er : nth_error (layout raw) i = Some (tensor_at raw i)) by (apply nth_error_nth';
    rewrite layout_length; lia).
  assert (En : nth_error (layout ns) i = Some (tensor_at ns i)) by (apply nth_error_nth';
    rewrite layout_length, same_length; lia).
  now rewrite (firstn_S _ i _ Er), (firstn_S _ i _ En), IH, T.
Qed.

Theorem same_layout : layout raw = layout ns.
Proof.
  rewrite <- (firstn_all (layout raw)), <- (firstn_all (layout ns)), !layout_length, same_length.
  now apply same_prefix.
Qed.
End Joined.
