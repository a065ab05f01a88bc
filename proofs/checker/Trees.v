(** * Trees over the bytes of a pair of images

    - [boxes_of splits q n]: the leaves of a tree in preorder, for images of [n] bytes that differ
      in the last bit of byte [q], as boxes of bytes; [None] where the list of splits is no such
      tree;
    - [cover]: both images of every pair are in one of its leaves;
    - [bounded_by_leaves]: so what bounds the pairs of each leaf, and is at most [B], bounds all
      pairs by [B].

    Rests on Neighbours.v. Stands behind [FirstLayers.leaves] in first_layers.py, rules tree.cover
    and tree.pair. *)

From Coq Require Import Reals Lra Lia ZArith List Bool.
From Lastbit Require Import Statement network.Neighbours.
Import ListNotations.
Open Scope Z_scope.

(** ** The program *)

(** The least and the largest value of each byte; bytes that are not listed may be any. *)
Definition box := list (Z * Z).
Definition any : Z * Z := (0, 255).

Definition everything (n : nat) : box := repeat any n.
Definition range (b : box) (p : nat) : Z * Z := nth p b any.

Fixpoint put (b : box) (p : nat) (r : Z * Z) : box :=
  match b, p with
  | [], _ => []
  | _ :: b', O => r :: b'
  | x :: b', S p' => x :: put b' p' r
  end.

(** A line of a tree: the number of a byte and a threshold, or [leaf] and anything. *)
Definition leaf : Z := -1.

(** Byte [p] of [b] takes values on both sides of the threshold [t]; of the pixel's own byte, 2k and
    2k + 1 stay together. *)
Definition may_split (q : nat) (b : box) (p t : Z) : bool :=
  (0 <=? p) && (p <? Z.of_nat (length b)) &&
  (fst (range b (Z.to_nat p)) <=? t) && (t <? snd (range b (Z.to_nat p))) &&
  (negb (p =? Z.of_nat q) || Z.odd t).

Definition up_to (b : box) (p : nat) (t : Z) : box := put b p (fst (range b p), t).
Definition above (b : box) (p : nat) (t : Z) : box := put b p (t + 1, snd (range b p)).

(** [parts] wait for their lines, the next one first. *)
Fixpoint leaves (q : nat) (splits : list (Z * Z)) (parts : list box) : option (list box) :=
  match splits, parts with
  | [], [] => Some []
  | [], _ :: _ => None                   (* a part is missing *)
  | _ :: _, [] => None                   (* a leaf too many *)
  | (p, t) :: splits', b :: parts' =>
      if p =? leaf then option_map (cons b) (leaves q splits' parts')
      else if may_split q b p t
      then leaves q splits' (up_to b (Z.to_nat p) t :: above b (Z.to_nat p) t :: parts')
      else None
  end.

Definition boxes_of (splits : list (Z * Z)) (q n : nat) : option (list box) :=
  if (q <? n)%nat then leaves q splits [everything n] else None.

(** ** Boxes *)

Definition holds (b : box) (v : nat -> Z) : Prop :=
  forall p, fst (range b p) <= v p <= snd (range b p).

Lemma everything_holds n v : image v -> holds (everything n) v.
Proof.
  intros H p. unfold range, everything. assert (E : nth p (repeat any n) any = any).
  { destruct (Nat.lt_ge_cases p n); [now apply nth_repeat|]. apply nth_overflow.
    now rewrite repeat_length. }
  rewrite E. apply H.
Qed.

Lemma range_put b p r p' : (p < length b)%nat ->
  range (put b p r) p' = if (p' =? p)%nat then r else range b p'.
Proof.
  unfold range. revert p p'. induction b as [|x b IH]; intros p p' H; cbn in H; [lia|].
  destruct p as [|p], p' as [|p']; cbn [put nth Nat.eqb]; try reflexivity. apply IH. lia.
Qed.

Lemma up_to_holds b p t v : (p < length b)%nat -> holds b v -> v p <= t -> holds (up_to b p t) v.
Proof.
  intros Hp H Ht p'. specialize (H p'). unfold up_to. rewrite range_put by exact Hp.
  destruct (Nat.eqb_spec p' p) as [->|N]; cbn [fst snd]; lia.
Qed.

Lemma above_holds b p t v : (p < length b)%nat -> holds b v -> t < v p -> holds (above b p t) v.
Proof.
  intros Hp H Ht p'. specialize (H p'). unfold above. rewrite range_put by exact Hp.
  destruct (Nat.eqb_spec p' p) as [->|N]; cbn [fst snd]; lia.
Qed.

(** ** Pairs *)

(** An odd threshold has both bytes of a pair on one side. *)
Lemma one_side a t : Z.odd t = true -> Z.lxor a 1 <= t <-> a <= t.
Proof.
  intros H. apply Z.odd_spec in H. destruct H as (k & ->). generalize (last_bit_pair a). lia.
Qed.

Section Tree.
Variables (q : nat) (v v' : nat -> Z).
Hypothesis pair : neighbours q v v'.

Lemma same_side b p t : may_split q b p t = true -> v' (Z.to_nat p) <= t <-> v (Z.to_nat p) <= t.
Proof.
  unfold may_split. rewrite !andb_true_iff. intros ((((P & _) & _) & _) & O). apply Z.leb_le in P.
  destruct pair as [Own Else].
  destruct (Nat.eq_dec (Z.to_nat p) q) as [E|N]; [|now rewrite (Else _ N)]. rewrite E, Own.
  apply one_side. apply orb_true_iff in O. destruct O as [O|O]; [|exact O].
  apply negb_true_iff, Z.eqb_neq in O. lia.
Qed.

Lemma leaves_cover splits : forall parts bs, leaves q splits parts = Some bs ->
  (exists b, In b parts /\ holds b v /\ holds b v') -> exists b, In b bs /\ holds b v /\ holds b v'.
Proof.
  induction splits as [|[p t] splits IH]; intros [|b parts] bs E (b' & I & H & H');
    cbn [leaves] in E; try easy.
  destruct (p =? leaf).
  - destruct (leaves q splits parts) as [cs|] eqn:C; [|easy]. cbn [option_map] in E.
    injection E as <-. destruct I as [<-|I]; [exists b; split; [now left|now split]|].
    destruct (IH parts cs C) as (x & Ix & Hx); [now exists b'|]. exists x.
    split; [now right|exact Hx].
  - destruct (may_split q b p t) eqn:M; [|easy]. apply (IH _ _ E).
    destruct I as [<-|I]; [|exists b'; split; [now right; right|now split]].
    assert (S := same_side b p t M). unfold may_split in M. rewrite !andb_true_iff in M.
    destruct M as ((((P & L) & _) & _) & _). apply Z.leb_le in P. apply Z.ltb_lt in L.
    destruct (Z.le_gt_cases (v (Z.to_nat p)) t) as [T|T].
    + exists (up_to b (Z.to_nat p) t). split; [now left|].
      split; apply up_to_holds; try assumption; try lia; try apply S; lia.
    + exists (above b (Z.to_nat p) t). split; [now right; left|].
      split; apply above_holds; try assumption; lia.
Qed.
End Tree.

(* map: both images of every pair are in one leaf of a tree *)
Theorem cover splits q n bs : boxes_of splits q n = Some bs -> forall v v', image v ->
  neighbours q v v' ->
  exists b, In b bs /\ holds b v /\ holds b v'.
Proof.
  unfold boxes_of. destruct (q <? n)%nat; [|easy]. intros E v v' I N.
  apply (leaves_cover q v v' N _ _ _ E). exists (everything n). split; [now left|].
  split; apply everything_holds; [exact I|exact (neighbour_image q v v' I N)].
Qed.

(** ** Bounds *)

(** For all pairs in [b], |D| is at most [B]. *)
Definition leaf_bound (q : nat) (D : (nat -> Z) -> (nat -> Z) -> R) (b : box) (B : R) : Prop :=
  forall v v', image v -> neighbours q v v' -> holds b v -> holds b v' -> (Rabs (D v v') <= B)%R.

(* map: what bounds each leaf bounds all pairs *)
Theorem bounded_by_leaves splits q n bs D bounds B : boxes_of splits q n = Some bs ->
  Forall2 (leaf_bound q D) bs bounds -> Forall (fun x => (x <= B)%R) bounds ->
  forall v v', image v -> neighbours q v v' -> (Rabs (D v v') <= B)%R.
Proof.
  intros E F A v v' I N. destruct (cover _ _ _ _ E v v' I N) as (b & Hb & H & H').
  assert (X : exists x, In x bounds /\ leaf_bound q D b x).
  { clear -F Hb. induction F as [|c x bs bounds L _ IH]; [easy|].
    destruct Hb as [<-|Hb]; [exists x; split; [now left|exact L]|].
    destruct (IH Hb) as (y & Iy & Ly). exists y. split; [now right|exact Ly]. }
  destruct X as (x & Ix & L). rewrite Forall_forall in A. apply Rle_trans with (2 := A x Ix).
  now apply L.
Qed.

(** ** Examples: images of two bytes, pairs that differ in byte 0 *)

Example three_leaves : boxes_of [(1, 100); (leaf, 0); (0, 127); (leaf, 0); (leaf, 0)] 0 2 =
  Some [[(0, 255); (0, 100)]; [(0, 127); (101, 255)]; [(128, 255); (101, 255)]].
Proof. vm_compute. reflexivity. Qed.

(** Without its last line, and with one more. *)
Example part_missing : boxes_of [(1, 100); (leaf, 0); (0, 127); (leaf, 0)] 0 2 = None.
Proof. vm_compute. reflexivity. Qed.

Example leaf_too_many :
  boxes_of [(1, 100); (leaf, 0); (0, 127); (leaf, 0); (leaf, 0); (leaf, 0)] 0 2 = None.
Proof. vm_compute. reflexivity. Qed.

(** 126 and 127 may be a pair, and 126 | 127 would split it; of a byte that is not the pixel's own,
    any threshold will do. *)
Example pair_split : boxes_of [(0, 126); (leaf, 0); (leaf, 0)] 0 2 = None.
Proof. vm_compute. reflexivity. Qed.

Example other_byte : boxes_of [(0, 126); (leaf, 0); (leaf, 0)] 1 2 =
  Some [[(0, 126); (0, 255)]; [(127, 255); (0, 255)]].
Proof. vm_compute. reflexivity. Qed.

(** A byte is split where it takes values on both sides. *)
Example nothing_above : boxes_of [(1, 255); (leaf, 0); (leaf, 0)] 0 2 = None.
Proof. vm_compute. reflexivity. Qed.
