(** * Which unit stands where, and what it reads

    - [sound]: operators read earlier tensors, of shapes that fit;
    - [unit_at], [unit_placed]: unit [first t + r] of the network is number [r] of its operator;
    - [operands_placed]: it reads units of the tensors that its operator reads;
    - [behind]: no operator after number [a] reads a tensor before it.

    Rests on File.v and operations/Convolution.v. Stands behind [absorb.around] of
    byte_tables.py. *)

From Coq Require Import Reals Lia List ZArith NArith Arith Bool Uint63.
From Lastbit Require Import Statement Totals operations.Convolution onnx.File.
Import ListNotations.
Open Scope nat_scope.

(** ** Lists end to end *)

Lemma flat_nth {A B} (f : A -> list B) l k o : nth_error (flat_map f l) k = Some o <->
  exists i a r, nth_error l i = Some a /\ k = length (flat_map f (firstn i l)) + r /\
  nth_error (f a) r = Some o.
Proof.
  revert k. induction l as [|a l IH]; intros k; cbn [flat_map].
  - split; [destruct k; discriminate|]. intros (i & b & r & H & _). destruct i; discriminate.
  - split.
    + intros H. destruct (lt_dec k (length (f a))) as [L|L].
      * rewrite nth_error_app1 in H by exact L. now exists 0, a, k.
      * rewrite nth_error_app2 in H by lia. apply IH in H. destruct H as (i & b & r & H & E & F).
        exists (S i), b, r. split; [exact H|]. split; [|exact F]. cbn [firstn flat_map].
        rewrite length_app. lia.
    + intros (i & b & r & H & -> & F). destruct i as [|i].
      * injection H as ->. cbn. rewrite nth_error_app1; [exact F|]. apply nth_error_Some.
        congruence.
      * cbn [firstn flat_map]. rewrite length_app, nth_error_app2 by lia. apply IH. exists i, b, r.
        split; [exact H|]. split; [lia|exact F].
Qed.

(** ** Where tensors stand *)

Lemma place_app ts next ns : exists new, place ts next ns = ts ++ new /\ length new = length ns.
Proof.
  revert ts next. induction ns as [|n ns IH]; intros ts next.
  - exists []. now rewrite app_nil_r.
  - cbn [place].
    destruct (IH (ts ++ [tensor_of ts next n]) (units_of (tensor_of ts next n) + next))
      as (new & -> & L).
    exists (tensor_of ts next n :: new). rewrite <- app_assoc. cbn. now rewrite L.
Qed.

Definition sizes (ts : list tensor) : nat := list_sum (map units_of ts).

Lemma place_nth ns : forall ts i n, nth_error ns i = Some n ->
  let all := place ts (sizes ts) ns in
  nth_error all (length ts + i) =
  Some (tensor_of (firstn (length ts + i) all) (sizes (firstn (length ts + i) all)) n).
Proof.
  induction ns as [|m ns IH]; intros ts i n Hi; [destruct i; discriminate|]. cbn [place].
  set (t := tensor_of ts (sizes ts) m).
  assert (S1 : units_of t + sizes ts = sizes (ts ++ [t]))
    by (unfold sizes; rewrite map_app, list_sum_app; cbn; lia).
  rewrite S1. destruct i as [|i].
  - injection Hi as ->. destruct (place_app (ts ++ [t]) (sizes (ts ++ [t])) ns) as (new & -> & _).
    rewrite <- app_assoc, Nat.add_0_r. rewrite nth_error_app2, Nat.sub_diag by lia.
    rewrite firstn_app, Nat.sub_diag, firstn_all. cbn [firstn]. rewrite app_nil_r. reflexivity.
  - cbn [nth_error] in Hi. specialize (IH (ts ++ [t]) i n Hi). cbv zeta in IH.
    rewrite length_app in IH. cbn [length] in IH.
    replace (length ts + S i) with (length ts + 1 + i) by lia. exact IH.
Qed.

Lemma layout_length ns : length (layout ns) = length ns.
Proof. unfold layout. destruct (place_app [] 0 ns) as (new & -> & L). exact L. Qed.

Section Placement.
Variables (file : list int) (ns : list node).

Let ts : list tensor := layout ns.
Definition tensor_at (i : nat) : tensor := nth i (layout ns) nowhere.

Lemma tensor_is i n : nth_error ns i = Some n ->
  tensor_at i = tensor_of (firstn i ts) (sizes (firstn i ts)) n.
Proof. intros H. unfold tensor_at. exact (nth_error_nth _ _ nowhere (place_nth ns [] i n H)). Qed.

Lemma tensor_first i n : nth_error ns i = Some n -> first (tensor_at i) = sizes (firstn i ts).
Proof. intros H. rewrite (tensor_is i n H). now destruct n. Qed.

Lemma nth_firstn {A} (l : list A) i x d : x < i -> nth x (firstn i l) d = nth x l d.
Proof.
  revert i x. induction l as [|a l IH]; intros i x H; [now rewrite firstn_nil|].
  destruct i; [lia|]. destruct x; [reflexivity|]. cbn. apply IH. lia.
Qed.

(** ** What the decision is about *)

Definition same_shape (s t : tensor) : bool :=
  (channels s =? channels t) && (height s =? height t) && (width s =? width t).

Definition fits (all : list tensor) (n : node) : bool :=
  let at_ x := nth x all nowhere in
  match n with
  | Conv x _ others k => (w_outputs k mod w_groups k =? 0) &&
    (channels (at_ x) mod w_groups k =? 0) &&
      forallb (fun y => (channels (at_ y) =? w_outputs k) && (height (at_ y) =? w_height k) &&
        (width (at_ y) =? w_width k)) others
  | Gated x s => (channels (at_ s) =? channels (at_ x)) && (height (at_ s) =? 1) &&
    (width (at_ s) =? 1)
  | Plus xs => match xs with [] => false | x :: ys =>
    forallb (fun y => same_shape (at_ x) (at_ y)) ys end
  | _ => true
  end.

Definition sound_node (all : list tensor) (i : nat) (n : node) : bool :=
  forallb (fun x => x <? i) (inputs n) && fits all n.

Fixpoint all_from (p : nat -> node -> bool) (i : nat) (l : list node) : bool :=
  match l with [] => true | n :: l' => p i n && all_from p (S i) l' end.

Definition sound : bool := let all := layout ns in all_from (sound_node all) 0 ns.

(** Operators after number [a] read tensors from number [a] on, and not the image. *)
Definition is_image (n : node) : bool := match n with Bytes _ _ _ => true | _ => false end.
Definition behind (a : nat) : bool :=
  all_from (fun i n => if i <=? a then true else negb (is_image n) &&
    forallb (fun x => a <=? x) (inputs n)) 0 ns.

Lemma all_from_nth p l : forall i k n, all_from p i l = true -> nth_error l k = Some n ->
  p (i + k) n = true.
Proof.
  induction l as [|m l IH]; intros i k n H E; [destruct k; discriminate|].
  cbn in H. apply andb_true_iff in H. destruct H as [H1 H2]. destruct k as [|k].
  - injection E as ->. now rewrite Nat.add_0_r.
  - replace (i + S k) with (S i + k) by lia. exact (IH (S i) k n H2 E).
Qed.

Lemma behind_nth a i n : behind a = true -> nth_error ns i = Some n -> a < i ->
  is_image n = false /\ forall x, In x (inputs n) -> a <= x.
Proof.
  intros H E L. assert (K := all_from_nth _ _ _ _ _ H E). cbv beta in K. rewrite Nat.add_0_l in K.
  destruct (Nat.leb_spec i a); [lia|]. apply andb_true_iff in K. destruct K as [K1 K2].
  split; [now apply negb_true_iff|]. intros x Hx. rewrite forallb_forall in K2.
  now apply Nat.leb_le, K2.
Qed.

Hypothesis Hs : sound = true.

Lemma sound_nth i n : nth_error ns i = Some n -> (forall x, In x (inputs n) -> x < i) /\
  fits ts n = true.
Proof.
  intros E. assert (K := all_from_nth _ _ _ _ _ Hs E). rewrite Nat.add_0_l in K.
  apply andb_true_iff in K. destruct K as [K1 K2]. split; [|exact K2]. intros x Hx.
  rewrite forallb_forall in K1. now apply Nat.ltb_lt, K1.
Qed.

(** ** As many units as the tensor has *)

Lemma each_length t f : length (each t f) = units_of t.
Proof. unfold each. now rewrite length_map, length_seq. Qed.

Lemma node_length i n : nth_error ns i = Some n ->
  length (units_of_node file ts n) = units_of (tensor_at i).
Proof.
  intros E. destruct (sound_nth i n E) as [R F]. rewrite (tensor_is i n E).
  destruct n as [c h w|x d|x over others k|x|x|x|x s|xs]; cbn [units_of_node tensor_of];
    rewrite ?each_length, ?length_map, ?length_seq;
    unfold convolution; rewrite ?length_map, ?length_seq;
      try (rewrite nth_firstn by (apply R; now left));
    unfold units_of, at_place; cbn; try lia.
  destruct xs as [|x xs]; [discriminate|]. cbn [hd]. rewrite nth_firstn by (apply R; now left).
  reflexivity.
Qed.

Lemma firstn_S {A} (l : list A) : forall i a, nth_error l i = Some a ->
  firstn (S i) l = firstn i l ++ [a].
Proof.
  induction l as [|b l IH]; intros i a H; [destruct i; discriminate|]. destruct i as [|i].
  - injection H as ->. reflexivity.
  - cbn [nth_error] in H. change (b :: firstn (S i) l = b :: (firstn i l ++ [a])).
    now rewrite (IH i a H).
Qed.

Lemma first_is i : i <= length ns ->
  length (flat_map (units_of_node file ts) (firstn i ns)) = sizes (firstn i ts).
Proof.
  induction i as [|i IH]; intros L; [reflexivity|].
  destruct (nth_error ns i) as [n|] eqn:E; [|apply nth_error_None in E; lia].
  assert (Et : nth_error ts i = Some (tensor_at i)).
  { apply nth_error_nth'. unfold ts. rewrite layout_length. lia. }
  rewrite (firstn_S ns i n E), (firstn_S ts i _ Et). rewrite flat_map_app, length_app, IH by lia.
  unfold sizes. rewrite map_app, list_sum_app. cbn [flat_map map].
  rewrite app_nil_r, (node_length i n E). cbn. lia.
Qed.

(** ** Units *)

Let all : list operation := units (network_of_file file ns).

Theorem unit_at i n r o : nth_error ns i = Some n ->
  nth_error (units_of_node file ts n) r = Some o ->
  nth_error all (first (tensor_at i) + r) = Some o.
Proof.
  intros E H. apply flat_nth. exists i, n, r. split; [exact E|]. split; [|exact H].
  rewrite (tensor_first i n E). f_equal. symmetry. apply first_is.
  assert (i < length ns) by (apply nth_error_Some; congruence). lia.
Qed.

Theorem unit_placed k o : nth_error all k = Some o -> exists i n r, nth_error ns i = Some n /\
  k = first (tensor_at i) + r /\ r < units_of (tensor_at i) /\
  nth_error (units_of_node file ts n) r = Some o.
Proof.
  intros H. apply flat_nth in H. destruct H as (i & n & r & E & -> & H). exists i, n, r.
  split; [exact E|]. assert (i < length ns) by (apply nth_error_Some; congruence).
  split; [|split; [|exact H]].
  - rewrite (tensor_first i n E). f_equal. apply first_is. lia.
  - rewrite <- (node_length i n E). apply nth_error_Some. unfold ts. congruence.
Qed.

(** ** Operands *)

Definition within (j : nat) (t : tensor) : Prop := first t <= j < first t + units_of t.

Lemma each_nth t f r o : nth_error (each t f) r = Some o ->
  r < units_of t /\ o = f (r / area t) (first t + r).
Proof.
  unfold each. rewrite nth_error_map. intros H.
  assert (L : r < units_of t).
  { apply Nat.nle_gt. intros L. rewrite (proj2 (nth_error_None _ _)) in H; [discriminate|].
    now rewrite length_seq. }
  split; [exact L|]. rewrite (nth_error_nth' _ 0) in H by (now rewrite length_seq).
  rewrite seq_nth in H by exact L. cbn in H. congruence.
Qed.

Lemma channel_in t r : r < units_of t -> r / area t < channels t.
Proof.
  intros H. unfold units_of in H. unfold area. apply Nat.div_lt_upper_bound; [|lia].
  intros Z. rewrite <- Nat.mul_assoc, Z in H. lia.
Qed.

Theorem operands_placed i n r o j : nth_error ns i = Some n ->
  nth_error (units_of_node file ts n) r = Some o ->
  In j (operands o) -> exists x, In x (inputs n) /\ within j (tensor_at x).
Proof.
  intros E H Hj. destruct (sound_nth i n E) as [_ F].
  destruct n as [c h w|x d|x over others k|x|x|x|x s|xs]; cbn [units_of_node] in H; cbn [inputs].
  - rewrite nth_error_map in H. destruct (nth_error (seq _ _) r); [|discriminate].
    cbn [option_map] in H. injection H as <-. destruct Hj.
  - apply each_nth in H. destruct H as [L ->]. destruct Hj as [<-|[]]. exists x. split; [now left|].
    unfold within, tensor_at, ts in *. cbn. lia.
  - cbn [fits] in F. rewrite !andb_true_iff, !Nat.eqb_eq, forallb_forall in F.
    destruct F as [[F1 F2] F3].
    unfold convolution in H. rewrite nth_error_map in H.
    destruct (nth_error (seq _ _) r) as [m|] eqn:Em; [|discriminate]. cbn [option_map] in H.
    injection H as <-.
    assert (L : m < w_outputs k * w_height k * w_width k) by (apply nth_error_In, in_seq in Em;
      cbn in Em; lia).
    apply convolution_operands in Hj; [|cbn; apply Nat.div_lt_upper_bound; [|lia];
      intros Z; rewrite <- Nat.mul_assoc, Z in L; lia|exact F1|exact F2].
    destruct Hj as [Hj|Hj]; [exists x; split; [now left|exact Hj]|].
    apply in_map_iff in Hj. destruct Hj as (y & <- & Hy). exists y. split; [now right|].
    specialize (F3 y Hy). rewrite !andb_true_iff, !Nat.eqb_eq in F3. destruct F3 as [[G1 G2] G3].
    unfold within, tensor_at, units_of, ts in *. rewrite G1, G2, G3. lia.
  - rewrite nth_error_map in H. destruct (nth_error (seq _ _) r) as [c|] eqn:Ec; [|discriminate].
    cbn [option_map] in H. injection H as <-. apply nth_error_In, in_seq in Ec.
    cbn [operands] in Hj. unfold weighted in Hj. rewrite !map_map in Hj. apply in_map_iff in Hj.
    destruct Hj as (m & <- & Hm). cbn [snd]. apply in_seq in Hm. exists x. split; [now left|].
    unfold within, tensor_at, units_of, area, ts in *. set (t := nth x (layout ns) nowhere) in *.
    rewrite <- Nat.mul_assoc. nia.
  - apply each_nth in H. destruct H as [L ->]. destruct Hj as [<-|[]]. exists x. split; [now left|].
    unfold within, tensor_at, ts in *. lia.
  - apply each_nth in H. destruct H as [L ->]. destruct Hj as [<-|[]]. exists x. split; [now left|].
    unfold within, tensor_at, ts in *. lia.
  - apply each_nth in H. destruct H as [L ->]. assert (C := channel_in _ _ L). cbn [fits] in F.
    rewrite !andb_true_iff, !Nat.eqb_eq in F. destruct F as [[F1 F2] F3].
    destruct Hj as [<-|[<-|[]]].
    + exists x. split; [now left|]. unfold within, tensor_at, ts in *. lia.
    + exists s. split; [right; now left|]. unfold within. fold ts in F1, F2, F3 |- *.
      unfold units_of, tensor_at. fold ts. rewrite F1, F2, F3. lia.
  - rewrite nth_error_map in H. destruct (nth_error (seq _ _) r) as [m|] eqn:Em; [|discriminate].
    cbn [option_map] in H. injection H as <-. apply nth_error_In, in_seq in Em.
    cbn [operands] in Hj. unfold added, weighted in Hj. rewrite !map_map in Hj.
    apply in_map_iff in Hj. destruct Hj as (y & <- & Hy). exists y. split; [exact Hy|]. cbn [snd].
    cbn [fits] in F. destruct xs as [|x xs]; [easy|]. cbn [hd] in Em. rewrite forallb_forall in F.
    assert (U : units_of (nth y ts nowhere) = units_of (nth x ts nowhere)).
    { destruct Hy as [->|Hy]; [reflexivity|]. specialize (F y Hy). unfold same_shape in F.
      rewrite !andb_true_iff, !Nat.eqb_eq in F. destruct F as [[F1 F2] F3]. unfold units_of.
      now rewrite F1, F2, F3. }
    unfold within, tensor_at, ts in *. lia.
Qed.
End Placement.
