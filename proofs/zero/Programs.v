(** * What follows a tensor whose bits are the same

    - [binary32_values], [deterministic]: the two assumptions of the model `zero`, about two runs;
    - [same_after]: if two runs of one program hold the same data in a tensor that no later operator
      reads around, all answers are the same data;
    - [no_last_bit]: so they are for images that differ in the last bit of one pixel, if the
      network of the file is [sound], [absorbing], and all of it [behind] that convolution;
    - [one_pattern]: data that are the bits of IEEE 754 binary32 meet what is asked of patterns.

    Rests on Stem.v. Stands behind [absorbs] of byte_tables.py. *)

From Coq Require Import Reals Lra Lia List ZArith Arith Bool Uint63.
From Flocq Require Import IEEE754.Binary IEEE754.Bits.
From Lastbit Require Import Statement operations.Convolution binary32.Rounding binary32.Ieee.
From Lastbit Require Import zero.Absorb onnx.File onnx.Placement zero.Stem.
Import ListNotations.
Open Scope R_scope.

Section Programs.

(** What a machine stores for one number, and what it stands for. *)
Variable datum : Type.
Variable meaning : datum -> value.

Record run := { data : nat -> datum; answers : nat -> datum }.

Definition values (a : run) : nat -> value := fun n => meaning (data a n).
Definition probabilities (a : run) : nat -> value := fun c => meaning (answers a c).

(** A run on the image [v], by any arithmetic that Statement.v allows. *)
Definition runs_on (net : network) (v : nat -> Z) (a : run) : Prop :=
  execution net v (values a) (probabilities a).

(** Assumption [binary32-values]: both runs store tensor [i] in binary32, where a number but 0 has
    one pattern of bits. *)
(* map: assumes binary32-values *)
Definition binary32_values (ns : list node) (i : nat) (a a' : run) : Prop :=
  stored ns i (values a) /\ stored ns i (values a') /\
  forall n r, In n (tensor_units ns i) -> r <> 0 -> values a n = Finite r ->
  values a' n = Finite r -> data a n = data a' n.

(** Assumption [deterministic]: one program made both runs. A unit that reads the same data in both
    is the same in both, and so are the answers of the same logits. *)
Definition is_pixel (o : operation) : bool := match o with Pixel _ => true | _ => false end.

(* map: assumes deterministic *)
Definition deterministic (net : network) (a a' : run) : Prop :=
  (forall n o, nth_error (units net) n = Some o -> is_pixel o = false ->
               (forall j, In j (operands o) -> data a j = data a' j) -> data a n = data a' n) /\
  ((forall j, In j (logits net) -> data a j = data a' j) -> forall c, answers a c = answers a' c).

Variables (file : list int) (ns : list node).
Let net : network := network_of_file file ns.

Lemma no_pixel ts n r o : nth_error (units_of_node file ts n) r = Some o -> is_image n = false ->
  is_pixel o = false.
Proof.
  intros H I. apply nth_error_In in H.
  destruct n; try discriminate; cbn [units_of_node] in H; unfold each, convolution in H;
    apply in_map_iff in H; destruct H as (m & <- & _); reflexivity.
Qed.

Theorem same_after k a a' : sound ns = true -> behind ns k = true -> (k < length ns)%nat ->
  (forall n, In n (tensor_units ns k) -> data a n = data a' n) -> deterministic net a a' ->
  forall c, answers a c = answers a' c.
Proof.
  intros Hs Hb Hk H [D1 D2].
  assert (All : forall i, (k <= i < length ns)%nat -> forall n, In n (tensor_units ns i) ->
    data a n = data a' n).
  { intros i. induction i as [i IH] using (well_founded_induction lt_wf). intros Hi n Hn.
    destruct (Nat.eq_dec i k) as [->|N]; [now apply H|].
    destruct (nth_error ns i) as [m|] eqn:E; [|apply nth_error_None in E; lia].
    destruct (behind_nth ns k i m Hb E ltac:(lia)) as [I In_k].
    apply in_seq in Hn. fold (tensor_at ns i) in Hn. set (r := (n - first (tensor_at ns i))%nat).
    destruct (nth_error (units_of_node file (layout ns) m) r) as [o|] eqn:U.
    2:{ apply nth_error_None in U. rewrite (node_length file ns Hs i m E)
      in U. unfold r in U. lia. }
    assert (Un := unit_at file ns Hs i m r o E U).
    replace (first (tensor_at ns i) + r)%nat with n in Un by (unfold r; lia).
    apply (D1 n o Un (no_pixel _ _ _ _ U I)). intros j Hj.
    destruct (operands_placed file ns Hs i m r o j E U Hj) as (x & Hx & W).
    assert (L := proj1 (sound_nth ns Hs i m E) x Hx).
    apply (IH x L); [generalize (In_k x Hx); lia|]. apply in_seq. exact W. }
  apply D2. intros j Hj. apply (All (Nat.pred (length ns))); [lia|exact Hj].
Qed.

(* map: so one program gives both images the same answers *)
Theorem no_last_bit v v' q a a' : sound ns = true -> absorbing file ns = true ->
  behind ns 2 = true ->
  image v -> neighbours q v v' -> runs_on net v a -> runs_on net v' a' ->
  binary32_values ns 2 a a' -> deterministic net a a' ->
  forall c, answers a c = answers a' c.
Proof.
  intros Hs Ha Hb Hv N Hx Hx' (S1 & S2 & P) D.
  assert (Same : forall n, In n (tensor_units ns 2) -> data a n = data a' n).
  { intros n Hn.
    destruct (absorbed_same file ns v v' q _ _ _ _ n Hs Ha Hn Hv N Hx Hx' S1 S2)
      as (r & R0 & E & E').
    apply (P n r Hn); [lra|exact E|exact E']. }
  apply (same_after 2 a a' Hs Hb); [|exact Same|exact D].
  destruct ns as [|? [|? [|? ?]]]; try (destruct n; discriminate); try discriminate; cbn; try lia.
  all: destruct n, n0; try discriminate; destruct x; discriminate.
Qed.
End Programs.

(** Bits of IEEE 754 binary32, as Flocq has them. *)
Theorem one_pattern (d d' : binary32) r : r <> 0 -> value_of d = Finite r ->
  value_of d' = Finite r -> d = d'.
Proof.
  intros N H H'. apply value_of_finite in H as [F E]. apply value_of_finite in H' as [F' E'].
  assert (K : forall x : binary32, is_finite 24 128 x = true -> B2R 24 128 x = r ->
    is_finite_strict 24 128 x = true).
  { intros x Fx Ex. destruct x; try discriminate; [|reflexivity]. cbn in Ex. congruence. }
  apply B2R_inj; [now apply K|now apply K|congruence].
Qed.

(** Every one of them is a number of the kind that Absorb.v asks for. *)
Theorem stored_binary32 (d : binary32) r : value_of d = Finite r -> binary32_number r.
Proof. intros H. apply value_of_finite in H as [_ <-]. apply generic_format_B2R. Qed.
