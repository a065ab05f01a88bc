(** * Sums that an operator takes in

    - [node_taken]: each unit of the normal form is the one as written ([network_as_written] of
      File.v), or takes in sums that this one reads ([taken] of Written.v).

    Rests on Written.v, Joined.v and UnitsSound.v. *)

From Coq Require Import Reals List ZArith NArith Arith Bool Lia Permutation Uint63.
From Lastbit Require Import Statement Totals binary32.Terms binary32.Additions operations.Units
  operations.Convolution network.Written.
From Lastbit Require Import onnx.File onnx.Placement onnx.Normal onnx.Joined onnx.Lists onnx.Outputs
  onnx.Added onnx.UnitsSound.
Import ListNotations.
Open Scope nat_scope.

Section Written.
Variables (file : list int) (raw ns : list node).
Hypothesis Hraw : sound raw = true.
Hypothesis Hns : sound ns = true.
Hypothesis Hn : normal_form raw = Some ns.

Let same_length : length ns = length raw := same_length raw ns Hn.
Let node_joined := node_joined raw ns Hn.
Let addend_is := addend_is raw ns.
Let same_layout : layout raw = layout ns := same_layout raw ns Hraw Hns Hn.

(** ** The same units, or sums taken in *)

Notation ts := (layout raw).
Notation at_ x := (nth x (layout raw) nowhere).
Let us : list operation := units (network_as_written file raw).
Let us' : list operation := units (network_of_file file ns).

Lemma written_length n : length (units_as_written file ts n) = length (units_of_node file ts n).
Proof.
  destruct n; try reflexivity; cbn [units_as_written units_of_node];
    now rewrite ?each_length, ?length_map.
Qed.

Lemma unit_as_written i n m o : nth_error raw i = Some n ->
  nth_error (units_as_written file ts n) m = Some o ->
  nth_error us (first (at_ i) + m) = Some o.
Proof.
  intros E H. unfold us. cbn [units network_as_written]. apply flat_nth. exists i, n, m.
  split; [exact E|]. split; [|exact H]. f_equal.
  fold (tensor_at raw i). assert (L : i < length raw) by (apply nth_error_Some; congruence).
  rewrite (tensor_first raw i n E), <- (first_is file raw Hraw i) by lia.
  clear. induction (firstn i raw) as [|n l IH]; [reflexivity|]. cbn [flat_map].
  now rewrite !length_app, written_length, IH.
Qed.

Lemma unit_in_form i n m o : nth_error ns i = Some n ->
  nth_error (units_of_node file ts n) m = Some o ->
  nth_error us' (first (at_ i) + m) = Some o.
Proof. intros E H. rewrite same_layout in H |- *. now apply (unit_at file ns Hns i n m o). Qed.

Lemma seq_nth_error n m k : nth_error (seq 0 n) m = Some k -> m < n /\ k = m.
Proof.
  intros H. assert (L : m < n) by (rewrite <- (length_seq n 0); apply nth_error_Some; congruence).
  rewrite (nth_error_nth' _ 0), seq_nth in H by (rewrite ?length_seq; exact L). split; [exact L|].
  now injection H.
Qed.

Definition plus_unit (xs : list nat) (m : nat) : operation :=
  Sum (added (map (fun x => first (at_ x) + m) xs)) [].

Lemma plus_units xs m o : nth_error (units_of_node file ts (Plus xs)) m = Some o ->
  o = plus_unit xs m.
Proof.
  cbn [units_of_node]. rewrite nth_error_map.
  destruct (nth_error (seq _ _) m) as [k|] eqn:E; [|discriminate].
  apply seq_nth_error in E. destruct E as [_ ->]. now intros [= <-].
Qed.

Definition conv_unit (z : nat) (over : option N) (others : list nat) (k : window) (m : nat) :
  operation :=
  output (at_ z) (kernel_at file (channels (at_ z) / w_groups k) k) (over_of file over) (map (fun y
    => first (at_ y) + m) others)
    (m / (w_height k * w_width k)) (m / w_width k mod w_height k) (m mod w_width k).

Lemma conv_units z over others k m o : nth_error (units_of_node file ts (Conv z over others k)) m =
  Some o -> o = conv_unit z over others k m.
Proof.
  cbn [units_of_node]. unfold convolution. rewrite nth_error_map.
  destruct (nth_error (seq _ _) m) as [j|] eqn:E; [|discriminate].
  apply seq_nth_error in E. destruct E as [_ ->]. now intros [= <-].
Qed.

Lemma taken_all l : Forall2 (taken us us') l l.
Proof. induction l; constructor; [now left|assumption]. Qed.

Lemma pairwise {A B} (P : A -> B -> Prop) l : forall l', length l = length l' ->
  (forall m a b, nth_error l m = Some a -> nth_error l' m = Some b -> P a b) -> Forall2 P l l'.
Proof.
  induction l as [|a l IH]; intros [|b l'] L H; try discriminate; constructor; [now apply (H 0)|].
  apply IH; [now injection L|]. intros m. exact (H (S m)).
Qed.

(** A tensor's unit [m], as a term of an addition, and what of the normal form takes its place. *)
Definition ones (r : nat -> R) (xs : list nat) (m : nat) : list term :=
  map (fun x => ([Times 1], r (first (at_ x) + m))) xs.

Lemma ones_are r xs m : map (fun w => (fst w, r (snd w))) (added (map (fun x =>
  first (at_ x) + m) xs)) = ones r xs m.
Proof. unfold added, weighted, ones. now rewrite !map_map. Qed.

Lemma takes_addend i x a r m : x < i -> addend_of raw (firstn i ns) x = Some a ->
  m < units_of (at_ x) ->
  takes us us' r ([], first (at_ x) + m)
    (match a with Tensors xs => ones r xs m
                | Convolved z over others k => match conv_unit z over others k m with Sum ws bs =>
                  terms ws bs r | _ => [] end end).
Proof.
  intros L A Hm.
  destruct (addend_is i x a L A) as [->|[(zs & Ez & ->)|(z & over & others & k & Ez & ->)]].
  - right. left. reflexivity.
  - assert (Ln := node_length file ns Hns x _ Ez). unfold tensor_at in Ln.
    rewrite <- same_layout in Ln. rewrite <- Ln in Hm.
    destruct (nth_error (units_of_node file ts (Plus zs)) m) as [o|] eqn:E;
      [|apply nth_error_None in E; lia].
    right. right. exists (added (map (fun x => first (at_ x) + m) zs)), []. cbn [fst snd].
    unfold terms. rewrite app_nil_r, with_factors_none, ones_are.
    split; [|split; [|reflexivity]].
    + right. rewrite (plus_units zs m o E) in E. exact (unit_in_form x _ m _ Ez E).
    + destruct (sound_nth ns Hns x _ Ez) as [_ F]. now destruct zs.
  - assert (Ln := node_length file ns Hns x _ Ez). unfold tensor_at in Ln.
    rewrite <- same_layout in Ln. rewrite <- Ln in Hm.
    destruct (nth_error (units_of_node file ts (Conv z over others k)) m) as [o|] eqn:E;
      [|apply nth_error_None in E; lia].
    rewrite (conv_units z over others k m o E) in E. unfold conv_unit, output in E |- *. right.
    right. eexists _, _. cbn [fst snd].
    rewrite with_factors_none. split; [right; exact (unit_in_form x _ m _ Ez E)|].
    split; [|reflexivity].
    unfold terms. intros Z. apply app_eq_nil in Z. destruct Z as [_ Z]. discriminate.
Qed.

(** *** An addition *)

(** A sum that takes in two others. *)
Ltac two_parts Hx Hy :=
  eexists [_; _], _; split; [constructor; [exact Hx|constructor; [exact Hy|constructor]]|].

Lemma addition_taken i x y n' m o o' : nth_error raw i = Some (Plus [x; y]) ->
  nth_error ns i = Some n' ->
  join raw (firstn i ns) (Plus [x; y]) = Some n' ->
  nth_error (units_as_written file ts (Plus [x; y])) m = Some o ->
    nth_error (units_of_node file ts n') m = Some o' -> taken us us' o o'.
Proof.
  intros E E' J H H'. cbn [units_as_written hd] in H. rewrite nth_error_map in H.
  destruct (nth_error (seq _ _) m) as [k|] eqn:Em; [|discriminate]. apply seq_nth_error in Em.
  destruct Em as [Hm ->].
  injection H as <-. cbn [map]. destruct (sound_nth raw Hraw i _ E) as [R F].
  assert (Rx := R x (or_introl eq_refl)). assert (Ry := R y (or_intror (or_introl eq_refl))).
  assert (Hy : m < units_of (at_ y)).
  { cbn [fits forallb] in F. unfold same_shape in F. rewrite !andb_true_iff,
      !Nat.eqb_eq in F. destruct F as [[[F1 F2] F3] _].
    unfold units_of in *. now rewrite <- F1, <- F2, <- F3. }
  cbn [join] in J. destruct (addend_of raw (firstn i ns) x) as [a|] eqn:Ax; [|discriminate].
  destruct (addend_of raw (firstn i ns) y) as [b|] eqn:Ay; [|now destruct a].
  right. eexists _, _. assert (Tx := fun r => takes_addend i x a r m Rx Ax Hm).
  assert (Ty := fun r => takes_addend i y b r m Ry Ay Hy).
  destruct a as [z over others w|xs], b as [z' over' others' w'|ys]; try discriminate;
    injection J as <-.
  1, 2: rewrite (conv_units _ _ _ _ _ _ H'); eexists _, _; split; [reflexivity|];
    split; [reflexivity|]; intros r; two_parts (Tx r) (Ty r); split; [|apply alike_refl];
    cbn [concat conv_unit output]; rewrite !app_nil_r; unfold terms;
    rewrite !map_app, added_app, map_app, !ones_are, <- !app_assoc.
  - do 2 apply Permutation_app_head. apply Permutation_app_comm.
  - apply perm_trans with (1 := Permutation_app_comm _ _). rewrite <- !app_assoc.
    do 2 apply Permutation_app_head. apply Permutation_app_comm.
  - rewrite (plus_units _ _ _ H'). eexists _, _. split; [reflexivity|]. split; [reflexivity|].
    intros r.
    two_parts (Tx r) (Ty r).
    split; [reflexivity|]. cbn [concat]. rewrite !app_nil_r. unfold terms.
    rewrite app_nil_r, ones_are.
    unfold ones. rewrite map_app. apply alike_refl.
Qed.

(** *** A division before a convolution *)

Lemma taps_moved t f k o y x : taps t k o y x = map (fun w =>
  (fst w, snd w - f + first t)) (taps (at_place f t) k o y x).
Proof.
  unfold taps. rewrite map_flat. apply flat_ext. intros i _. rewrite map_flat. apply flat_ext.
  intros a _.
  rewrite map_flat. apply flat_ext. intros b _. unfold tap.
  change (inside (at_place f t) k) with (inside t k).
  destruct (inside t k _ _); [|reflexivity]. cbn [map fst snd]. unfold position.
  cbn [at_place first height width].
  do 2 f_equal. match goal with |- first t + ?p = f + ?q - f + _ =>
    change q with p; generalize p end. intros p. lia.
Qed.

Lemma division_taken i x z d k m o o' : nth_error raw i = Some (Conv x None [] k) ->
  nth_error ns x = Some (Divide z d) ->
  nth_error (units_as_written file ts (Conv x None [] k)) m = Some o ->
  nth_error (units_of_node file ts (Conv z (Some d) [] k)) m = Some o' -> taken us us' o o'.
Proof.
  intros E Ex H H'. cbn [units_as_written] in H. assert (H0 := H). apply conv_units in H.
  apply conv_units in H'. subst o o'.
  destruct (sound_nth raw Hraw i _ E) as [R F]. assert (Rx := R x (or_introl eq_refl)).
  assert (Lr : x < length raw) by (assert (i < length raw) by (apply nth_error_Some; congruence);
    lia).
  destruct (nth_error raw x) as [n|] eqn:En; [|apply nth_error_None in En; lia].
  assert (n = Divide z d) as ->.
  { destruct (node_joined x n En) as (n' & E1 & J). rewrite Ex in E1. injection E1 as <-.
    destruct n as [c h w|x' d'|x' over others k'|x'|x'|x'|x' s|xs]; cbn [join] in J;
      try discriminate.
    - destruct (node_at _ x'); try discriminate; now injection J as -> ->.
    - destruct over, others; try discriminate. destruct (node_at _ x'); try discriminate.
      now destruct (alone raw x').
    - destruct (node_at _ x'); discriminate.
    - destruct xs as [|a [|b [|? ?]]]; try discriminate.
      destruct (addend_of _ _ a) as [[]|]; try discriminate; destruct (addend_of _ _ b) as [[]|];
        discriminate. }
  assert (Tx : at_ x = at_place (first (at_ x)) (at_ z)).
  { fold (tensor_at raw x). rewrite (tensor_is raw x _ En) at 1. cbn [tensor_of]. rewrite
      (tensor_first raw x _ En).
    destruct (sound_nth raw Hraw x _ En) as [R' _]. rewrite nth_firstn by (apply R'; now left).
    reflexivity. }
  assert (W : forall w, In w (taps (at_ x) (kernel_at file (channels (at_ x) / w_groups k) k) (m /
    (w_height k * w_width k))
      (m / w_width k mod w_height k) (m mod w_width k)) ->
    nth_error us (snd w) = Some (Sum [([Over (float_at file d 0)], snd w - first (at_ x) +
      first (at_ z))] [])).
  { intros w Hw. destruct (operands_placed file raw Hraw i _ m _ (snd w) E H0) as (x' & [<-|[]]
      & [P1 P2]).
    { unfold conv_unit, output. cbn [operands]. rewrite map_app. apply in_or_app. left. unfold
        weighted. rewrite map_map. now apply in_map. }
    unfold tensor_at in P1, P2. assert (G := unit_as_written x _ (snd w - first (at_ x))
      (Sum [([Over (float_at file d 0)], snd w - first (at_ x) + first (at_ z))] []) En).
    replace (first (at_ x) + (snd w - first (at_ x))) with (snd w) in G by lia. apply G.
    cbn [units_as_written]. unfold each.
    rewrite nth_error_map, (nth_error_nth' _ 0), seq_nth by (rewrite ?length_seq, Tx in *;
      cbn in *; unfold units_of in *; cbn in *; lia).
    cbn [option_map]. do 4 f_equal. lia. }
  right. eexists _, _, _, _. split; [reflexivity|]. split; [reflexivity|]. intros r.
  exists (map (fun w => [([Times (fst w); Over (float_at file d 0)],
    r (snd w - first (at_ x) + first (at_ z)))])
    (taps (at_ x) (kernel_at file (channels (at_ x) / w_groups k) k) (m / (w_height k * w_width k))
      (m / w_width k mod w_height k) (m mod w_width k))).
  eexists. split; [|split; [reflexivity|]].
  - unfold added, weighted. cbn [map]. rewrite app_nil_r. revert W.
    generalize (taps (at_ x) (kernel_at file (channels (at_ x) / w_groups k) k) (m / (w_height k *
      w_width k)) (m / w_width k mod w_height k) (m mod w_width k)).
    intros l W. induction l as [|w l IH]; [constructor|]. cbn [map].
    constructor; [|apply IH; intros w' Hw'; apply W; now right].
    right. right. eexists _, _. split; [left; apply W; now left|].
    split; [discriminate|reflexivity].
  - cbn [conv_unit output map over_of]. unfold terms, added. cbn [map weighted]. rewrite !app_nil_r.
    assert (Ci : channels (at_ x) = channels (at_ z)) by now rewrite Tx.
    rewrite (taps_moved (at_ z) (first (at_ x))), <- Tx, <- Ci. unfold weighted. rewrite !map_map.
    cbn [fst snd].
    set (l := taps _ _ _ _ _). apply alike_app; [|apply alike_refl]. clear.
    induction l as [|w l IH]; [constructor|].
    cbn [map concat app]. constructor; [|exact IH]. now split.
Qed.

(** *** All operators *)

Lemma node_taken i n n' : nth_error raw i = Some n -> nth_error ns i = Some n' ->
  join raw (firstn i ns) n = Some n' ->
  Forall2 (taken us us') (units_as_written file ts n) (units_of_node file ts n').
Proof.
  intros E E' J. assert (L : length (units_as_written file ts n) =
    length (units_of_node file ts n')).
  { rewrite written_length, (node_length file raw Hraw i n E). unfold tensor_at. rewrite
      same_layout.
    symmetry. exact (node_length file ns Hns i n' E'). }
  destruct n as [c h w|x d|x over others k|x|x|x|x s|xs]; cbn [join] in J;
    try (injection J as <-; apply taken_all).
  - assert (n' = Divide x d) as -> by (destruct (node_at _ x); try discriminate;
      now injection J as <-).
    cbn [units_as_written units_of_node]. unfold each. apply Forall2_map. intros m _. right.
    eexists _, _, _, _.
    split; [reflexivity|]. split; [reflexivity|]. intros r. eexists [_], _.
    split; [constructor; [right; left; reflexivity|constructor]|]. split; [reflexivity|].
    constructor; [split; [apply perm_swap|reflexivity]|constructor].
  - destruct over, others; try discriminate. destruct (sound_nth raw Hraw i _ E) as [R _].
    assert (Rx := R x (or_introl eq_refl)).
    unfold node_at in J. rewrite nth_firstn in J by exact Rx.
    destruct (nth_error ns x) as [m|] eqn:Ex.
    + rewrite (nth_error_nth ns x _ Ex) in J.
      destruct m as [| z d | | | | | |]; try (injection J as <-; apply taken_all).
      destruct (alone raw x); injection J as <-; [|apply taken_all]. apply pairwise; [exact L|].
      intros m o o'.
      exact (division_taken i x z d k m o o' E Ex).
    + rewrite nth_overflow in J by (now apply nth_error_None). injection J as <-. apply taken_all.
  - destruct (node_at _ x); try discriminate; injection J as <-; apply taken_all.
  - destruct xs as [|x [|y [|? ?]]]; try discriminate. apply pairwise; [exact L|]. intros m o o'.
    exact (addition_taken i x y n' m o o' E E' J).
Qed.
End Written.
