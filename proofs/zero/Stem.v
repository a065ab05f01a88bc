(** * A first convolution that lets no last bit through

    - [absorbing]: decides that a network begins with bytes, their division by 255, and a
      convolution that takes in that division, and each of whose channels has one weight that is not
      0, and absorbs: 256 bytes for each channel;
    - [stem_value]: then every execution whose convolution is stored in binary32 computes, at each
      of its units, one positive number, which depends on [v p / 2] for one pixel [p], or on
      nothing;
    - [stem_same]: images that differ in the last bit of one pixel leave the same numbers.

    Rests on Absorb.v and Placement.v. Stands behind byte_tables.py ([tables], [absorb.bytes]). *)

From Coq Require Import Reals Lra Lia List ZArith NArith Arith Bool Permutation Uint63.
From Lastbit Require Import Statement Totals binary32.Terms operations.Convolution.
From Lastbit Require Import network.Neighbours zero.Absorb onnx.File onnx.Placement.
Import ListNotations.
Open Scope R_scope.

(** Tensor [i] is stored in binary32 (assumption [binary32-values]). *)
(* map: assumes binary32-values *)
Definition stored (ns : list node) (i : nat) (x : nat -> value) : Prop :=
  forall k r, In k (tensor_units ns i) -> x k = Finite r -> binary32_number r.

(** ** The decision *)

Definition triples (n rows cols : nat) : list (nat * nat * nat) :=
  flat_map (fun i => flat_map (fun a => map (fun b => (i, a, b)) (seq 0 cols)) (seq 0 rows))
  (seq 0 n).

Definition weight_units (file : list int) (weights_at : N) (per rows cols o : nat)
  (ix : nat * nat * nat) : Z :=
  let '(i, a, b) := ix in units_at file weights_at (((o * per + i) * rows + a) * cols + b).

Definition channel_absorbs (file : list int) (weights_at bias_at : N) (per rows cols o : nat) :
  bool :=
  match filter (fun ix => negb (weight_units file weights_at per rows cols o ix =? 0)%Z)
    (triples per rows cols) with
  | [ix] => absorbs (weight_units file weights_at per rows cols o ix) (units_at file bias_at o)
  | _ => false
  end.

Definition absorbing (file : list int) (ns : list node) : bool :=
  match ns with
  | Bytes c h w :: Divide 0 _ :: Conv 0 (Some d) [] k :: _ =>
      let per := Nat.div c (w_groups k) in
      (units_at file d 0 =? 255 * 2 ^ 149)%Z && (N.of_nat per * N.of_nat (w_rows k) * N.of_nat
        (w_cols k) <=? 2 ^ 18)%N &&
      forallb (channel_absorbs file (weights_at k) (bias_at k) per (w_rows k) (w_cols k)) (seq 0
        (w_outputs k))
  | _ => false
  end.

(** ** One of many terms *)

Lemma flat_one {A} (f : nat -> list A) (P : A -> Prop) n i : (i < n)%nat ->
  (forall j, (j < n)%nat -> j <> i -> Forall P (f j)) ->
  exists z, Forall P z /\ Permutation (flat_map f (seq 0 n)) (z ++ f i).
Proof.
  intros Hi H. replace n with (i + S (n - S i))%nat by lia. rewrite seq_app, flat_map_app.
  cbn [seq flat_map]. rewrite Nat.add_0_l.
  exists (flat_map f (seq 0 i) ++ flat_map f (seq (S i) (n - S i))). split.
  - apply Forall_app.
    split; apply Forall_flat_map, Forall_forall; intros j Hj; apply in_seq in Hj; apply H; lia.
  - rewrite <- app_assoc. apply Permutation_app_head, Permutation_app_comm.
Qed.

Lemma in_triples n rows cols i a b : (i < n)%nat -> (a < rows)%nat -> (b < cols)%nat ->
  In (i, a, b) (triples n rows cols).
Proof.
  intros Hi Ha Hb. apply in_flat_map. exists i. split; [apply in_seq; lia|]. apply in_flat_map.
  exists a. split; [apply in_seq; lia|]. apply in_map_iff. exists b.
  split; [reflexivity|apply in_seq; lia].
Qed.

Lemma triples_in n rows cols i a b : In (i, a, b) (triples n rows cols) ->
  (i < n)%nat /\ (a < rows)%nat /\ (b < cols)%nat.
Proof.
  intros H. apply in_flat_map in H. destruct H as (i' & Hi & H). apply in_flat_map in H.
  destruct H as (a' & Ha & H). apply in_map_iff in H. destruct H as (b' & [= -> -> ->] & Hb).
  apply in_seq in Hi, Ha, Hb. lia.
Qed.

Lemma ulps_0 : ulps 0 = 0. Proof. unfold ulps. lra. Qed.

Section Stem.
Variable file : list int.
Variables (c h w : nat) (d' d : N) (win : window) (rest : list node).

Notation rows := (w_rows win).
Notation cols := (w_cols win).
Notation outputs := (w_outputs win).
Notation oh := (w_height win).
Notation ow := (w_width win).
Let per : nat := (c / w_groups win)%nat.
Let conv : node := Conv 0 (Some d) [] win.
Let ns : list node := Bytes c h w :: Divide 0 d' :: conv :: rest.
Let t0 : tensor := {| first := 0; channels := c; height := h; width := w |}.
Let k : kernel := kernel_at file per win.

Lemma layout_head : exists new, layout ns =
  t0 :: {| first := c * h * w; channels := c; height := h; width := w |} ::
  {| first := c * h * w + c * h * w; channels := outputs; height := oh; width := ow |} :: new.
Proof.
  unfold layout, ns, conv. cbn [place tensor_of nth app]. unfold at_place, units_of.
  cbn [channels height width first]. rewrite !Nat.add_0_r.
  edestruct place_app as (new & -> & _). now exists new.
Qed.

Lemma tensor_0 : tensor_at ns 0 = t0. Proof. unfold tensor_at. destruct layout_head as (new & ->).
reflexivity. Qed.
Lemma tensor_2 : units_of (tensor_at ns 2) = (outputs * oh * ow)%nat.
Proof. unfold tensor_at. destruct layout_head as (new & ->). reflexivity. Qed.

(** The terms of one output: its one tap, if that lies in the image, and what is 0. *)
Lemma one_tap o y x : channel_absorbs file (weights_at win) (bias_at win) per rows cols o = true ->
  exists W i a b z, absorbs W (units_at file (bias_at win) o) = true /\
    weights k o i a b = ulps W /\
    Forall (fun wj => fst wj = 0) z /\ Permutation (taps t0 k o y x) (z ++ tap t0 k o y x i a b).
Proof.
  unfold channel_absorbs. set (keep := fun ix => _).
  destruct (filter keep _) as [|[[i a] b] [|? ?]] eqn:E; try discriminate. intros A.
  exists (weight_units file (weights_at win) per rows cols o (i, a, b)), i, a, b.
  assert (I : In (i, a, b) (filter keep (triples per rows cols))) by (rewrite E; now left).
  apply filter_In in I. destruct I as [I _]. apply triples_in in I. destruct I as (Hi & Ha & Hb).
  assert (Z : forall i' a' b', (i' < per)%nat -> (a' < rows)%nat -> (b' < cols)%nat ->
    (i', a', b') <> (i, a, b) ->
    Forall (fun wj => fst wj = 0) (tap t0 k o y x i' a' b')).
  { intros i' a' b' Hi' Ha' Hb' N. unfold tap.
    destruct (inside _ _ _ _); constructor; [|constructor]. 
    destruct (keep (i', a', b')) eqn:K.
    - exfalso.
      assert (J : In (i', a', b') (filter keep (triples per rows cols)))
        by (apply filter_In; split; [now apply in_triples|exact K]).
      rewrite E in J. destruct J as [J|[]]. congruence.
    - unfold keep in K. apply negb_false_iff, Z.eqb_eq in K. cbn [weight_units] in K.
      change (ulps (units_at file (weights_at win) (((o * per + i') * rows + a') * cols + b')) =
        0). now rewrite K, ulps_0. }
  destruct (flat_one (fun i' => flat_map (fun a' =>
    flat_map (tap t0 k o y x i' a') (seq 0 cols)) (seq 0 rows)) (fun wj => fst wj = 0) per i Hi)
    as (z1 & F1 & P1).
  { intros i' Hi' N. apply Forall_flat_map, Forall_forall. intros a' Ha'. apply in_seq in Ha'.
    apply Forall_flat_map, Forall_forall. intros b' Hb'. apply in_seq in Hb'. apply Z; try lia.
    congruence. }
  destruct (flat_one (fun a' => flat_map (tap t0 k o y x i a') (seq 0 cols)) (fun wj =>
    fst wj = 0) rows a Ha) as (z2 & F2 & P2).
  { intros a' Ha' N. apply Forall_flat_map, Forall_forall. intros b' Hb'. apply in_seq in Hb'.
    apply Z; try lia. congruence. }
  destruct (flat_one (tap t0 k o y x i a) (fun wj => fst wj = 0) cols b Hb) as (z3 & F3 & P3).
  { intros b' Hb' N. apply Z; try lia. congruence. }
  exists (z1 ++ z2 ++ z3). split; [exact A|]. split; [reflexivity|].
  split; [repeat (apply Forall_app; split); assumption|]. apply perm_trans with (1 := P1).
  rewrite <- !app_assoc. apply Permutation_app_head. apply perm_trans with (1 := P2).
  apply Permutation_app_head. exact P3.
Qed.

(** ** What an execution computes *)

Hypothesis Ha : absorbing file ns = true.
Hypothesis Hs : sound ns = true.

Let net : network := network_of_file file ns.

Lemma image_read v x p s : image v -> execution net v x p -> (s < c * h * w)%nat ->
  x s = Finite (IZR (v s)).
Proof.
  intros Hv [Hx _] L. destruct layout_head as (new & El).
  assert (K := unit_at file ns Hs 0 (Bytes c h w) s (Pixel s) eq_refl). unfold tensor_at in K.
  rewrite El in K.
  apply (Hx s (Pixel s)), K. cbn [units_of_node].
  rewrite nth_error_map, (nth_error_nth' _ 0%nat) by (now rewrite length_seq).
  now rewrite seq_nth.
Qed.

Lemma divided_by : over_of file (Some d) = [Over 255].
Proof.
  assert (H := Ha). unfold absorbing, ns, conv in H. rewrite !andb_true_iff, Z.eqb_eq in H.
  destruct H as [[H _] _].
  cbn [over_of]. unfold float_at, ulps. rewrite H, mult_IZR.
  change (IZR (2 ^ 149)) with (Flocq.Core.Raux.bpow Flocq.Core.Zaux.radix2 149).
  rewrite Rmult_assoc, <- Flocq.Core.Raux.bpow_plus.
  do 2 f_equal. simpl. lra.
Qed.

Lemma few_taps o y x : INR (length (taps t0 k o y x)) <= 2 ^ 18.
Proof.
  assert (H := Ha). unfold absorbing, ns, conv in H. rewrite !andb_true_iff, N.leb_le in H.
  destruct H as [[_ H] _].
  assert (L : (length (taps t0 k o y x) <= per * rows * cols)%nat).
  { assert (G : forall A (f : nat -> list A) m n, (forall i, length (f i) <= m)%nat ->
      (length (flat_map f (seq 0 n)) <= n * m)%nat).
    { intros A f m n Hf. induction n as [|n IH]; [apply le_n
        |]. rewrite seq_S, flat_map_app, length_app. cbn [flat_map].
      rewrite app_nil_r. generalize (Hf (0 + n)%nat). lia. }
    unfold taps. change (Convolution.inputs t0 k) with per. change (Convolution.rows k) with rows.
    change (Convolution.cols k) with cols.
    rewrite <- Nat.mul_assoc. apply G. intros i. apply G. intros a.
    apply Nat.le_trans with (cols * 1)%nat; [apply G; intros b; unfold tap;
      destruct (inside _ _ _ _); cbn; lia|lia]. }
  fold per in H. apply Rle_trans with (IZR (2 ^ 18)); [|simpl; lra]. rewrite INR_IZR_INZ.
  apply IZR_le. lia.
Qed.

(** The byte that a unit depends on. *)
Definition read_byte (v : nat -> Z) (source : option nat) : Z :=
  match source with Some s => v s | None => 0%Z end.

Theorem stem_value n : In n (tensor_units ns 2) -> exists W B source, forall v x p,
  image v -> execution net v x p -> stored ns 2 x ->
  x n = Finite (ulps (remains W B (read_byte v source / 2))) /\
  0 < ulps (remains W B (read_byte v source / 2)).
Proof.
  intros Hn. assert (Hc := Ha). unfold absorbing, ns, conv in Hc.
  rewrite !andb_true_iff, forallb_forall in Hc. destruct Hc as [_ Hc].
  assert (In_n := Hn). unfold tensor_units in Hn. apply in_seq in Hn. fold (tensor_at ns 2) in Hn.
  rewrite tensor_2 in Hn. set (r := (n - first (tensor_at ns 2))%nat).
  assert (Lr : (r < outputs * oh * ow)%nat) by (unfold r; lia). set (o := (r / (oh * ow))%nat).
  set (yy := (r / ow mod oh)%nat). set (xx := (r mod ow)%nat). assert (Lo : (o < outputs)%nat).
  { unfold o. apply Nat.div_lt_upper_bound; [|lia]. intros Z. rewrite <- Nat.mul_assoc, Z in Lr.
    lia. }
  assert (U : nth_error (units_of_node file (layout ns) conv) r = Some (output t0 k [Over 255] []
    o yy xx)).
  { unfold conv. cbn [units_of_node]. fold (tensor_at ns 0). rewrite tensor_0,
      divided_by. unfold convolution.
    rewrite nth_error_map, (nth_error_nth' _ 0%nat) by (rewrite length_seq; exact Lr).
    rewrite seq_nth by exact Lr. reflexivity. }
  assert (Un := unit_at file ns Hs 2 conv r _ eq_refl U).
  replace (first (tensor_at ns 2) + r)%nat with n in Un by (unfold r; lia).
  assert (Ops : forall j, In j (map snd (taps t0 k o yy xx)) -> (j < c * h * w)%nat).
  { intros j Hj. destruct (operands_placed file ns Hs 2 conv r _ j eq_refl U) as (i & [<-|[]] & Wi).
    - cbn [operands output]. rewrite map_app. apply in_or_app. left. unfold weighted.
      now rewrite map_map.
    - unfold within in Wi. rewrite tensor_0 in Wi. unfold units_of in Wi. cbn in Wi. lia. }
  destruct (one_tap o yy xx (Hc o ltac:(apply in_seq; lia)))
    as (W & i & a & b & z & Ab & Ew & Fz & P).
  set (bias := ulps (units_at file (bias_at win) o)).
  set (term_for := fun (v : nat -> Z) (wj : R * nat) => tap_of (fst wj) (IZR (v (snd wj)))).
  assert (S : forall v x p, image v -> execution net v x p ->
    sum (map (term_for v) (taps t0 k o yy xx) ++ [([], bias)]) (x n)).
  { intros v x p Hv Hx. assert (K := proj1 Hx n _ Un (fun j =>
      IZR (v j))). unfold terms, weighted, added, constants in K.
    cbn [map] in K. rewrite app_nil_r, !map_map in K. apply K. intros j Hj.
    apply (image_read v x p j Hv Hx), Ops. exact Hj. }
  assert (Iz : forall v, image v -> Forall idle (map (term_for v) z)).
  { intros v Hv. apply Forall_map. apply Forall_impl with (2 := Fz). intros [w' j]
      E. cbn in E. subst w'.
    exists (IZR (v j)). split; [reflexivity|]. destruct (Hv j) as [V0 V1]. apply IZR_le in V0, V1.
    rewrite Rabs_pos_eq; lra. }
  assert (Nz : forall v, INR (length (map (term_for v) z)) <= 2 ^ 18).
  { intros v. apply Rle_trans with (2 := few_taps o yy xx). apply le_INR. rewrite length_map,
      (Permutation_length P), length_app. lia. }
  exists W, (units_at file (bias_at win) o). unfold tap in P. destruct (inside _ _ _ _) eqn:I.
  - set (j := position _ _ _ _) in P. rewrite Ew in P.
    exists (Some j). intros v x p Hv Hx St. cbn [read_byte].
    apply (absorbed W (units_at file (bias_at win) o) (v j) (map (term_for v) z) _ (x n) Ab (Hv j)
      (Iz v Hv) (Nz v)) with (2 := S v x p Hv Hx).
    + fold bias. apply perm_trans with (map (term_for v) (z ++ [(ulps W, j)]) ++ [([], bias)]).
      * apply Permutation_app_tail. now apply Permutation_map.
      * rewrite map_app, <- app_assoc. apply Permutation_refl.
    + intros q Eq. exact (St n q In_n Eq).
  - rewrite app_nil_r in P. exists None. intros v x p Hv Hx St. cbn [read_byte].
    assert (S' : sum ([tap_of (ulps W) 0]
      ++ (map (term_for v) (taps t0 k o yy xx) ++ [([], bias)])) (x n)).
    { apply sum_adds with (Finite 0) (x n); [|exact (S v x p Hv Hx)|].
      - apply sum_zeros. constructor; [|constructor]. split; [rewrite exact_tap; field|].
        intros [E|[E|[]]]; [discriminate|]. injection E. lra.
      - intros p0 q [= <-] Eq. exists 0, q. split; [apply reads_refl|]. split; [apply reads_refl|].
        rewrite Rplus_0_l, Eq.
        split; [apply rounds_exact|]. split; [easy|]. now intros ->. }
    apply (absorbed W (units_at file (bias_at win) o) 0 (map (term_for v) z) _ (x n) Ab ltac:(lia)
      (Iz v Hv) (Nz v)) with (2 := S').
    + fold bias. cbn [app]. apply perm_trans with (tap_of (ulps W) 0 :: (map (term_for v) z ++
        [([], bias)])).
      * apply perm_skip, Permutation_app_tail. now apply Permutation_map.
      * apply Permutation_cons_app. apply Permutation_refl.
    + intros q Eq. exact (St n q In_n Eq).
Qed.

(* map: neighbouring images leave the same numbers at the first convolution *)
Theorem stem_same n v v' q x x' p p' : In n (tensor_units ns 2) -> image v -> neighbours q v v' ->
  execution net v x p -> execution net v' x' p' -> stored ns 2 x -> stored ns 2 x' ->
  exists r, 0 < r /\ x n = Finite r /\ x' n = Finite r.
Proof.
  intros Hn Hv N Hx Hx' St St'. assert (Hv' := neighbour_image q v v' Hv N).
  destruct (stem_value n Hn) as (W & B & source & H). destruct (H v x p Hv Hx St) as [H1 H2].
  destruct (H v' x' p' Hv' Hx' St') as [H3 _]. exists (ulps (remains W B (read_byte v source / 2))).
  split; [exact H2|]. split; [exact H1|]. rewrite H3. do 3 f_equal.
  destruct source as [s|]; [now apply (neighbour_half q)|reflexivity].
Qed.
End Stem.

(** The same, for any network that the decision accepts. *)
Theorem absorbed_same file ns v v' q x x' p p' n : sound ns = true -> absorbing file ns = true ->
  In n (tensor_units ns 2) -> image v -> neighbours q v v' ->
  execution (network_of_file file ns) v x p -> execution (network_of_file file ns) v' x' p' ->
  stored ns 2 x -> stored ns 2 x' -> exists r, 0 < r /\ x n = Finite r /\ x' n = Finite r.
Proof.
  intros Hs Ha. destruct ns as [|[c h w| | | | | | |] [|[|[|x0] d'| | | | | |] [|[| |[|x1] [d|] [
    |y others] k| | | | |] rest]]]; try discriminate Ha.
  intros Hn Hv N Hx Hx' St St'. eapply stem_same; eassumption.
Qed.
