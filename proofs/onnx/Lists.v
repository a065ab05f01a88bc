(** * Lists of units, row by row and channel by channel

    - [rows_of]: a list by one index is one by two, its quotient and its remainder;
    - the others: how [map], [flat_map], [filter] and [Forall2] go together.

    Rests on Units.v and Reading.v. *)

From Coq Require Import List Arith Lia.
From Lastbit Require Import onnx.Units onnx.Reading.
Import ListNotations.

Lemma rows_of {A} (g : nat -> nat -> A) w k :
  map (fun n => g (n / w) (n mod w)) (seq 0 (k * w)) =
  flat_map (fun y => map (g y) (seq 0 w)) (seq 0 k).
Proof.
  induction k as [|k IH]; [reflexivity|]. rewrite seq_S, flat_map_app, <- IH. cbn [flat_map].
  rewrite app_nil_r. replace (S k * w) with (k * w + w) by lia.
  rewrite seq_app, map_app, Nat.add_0_l. f_equal. rewrite seq_from, map_map. apply map_ext_in.
  intros x Hx. apply in_seq in Hx. rewrite Nat.div_add_l by lia.
  rewrite Nat.div_small, Nat.add_0_r, Nat.add_comm, Nat.mod_add, Nat.mod_small by lia. reflexivity.
Qed.

Lemma seq_rows k w :
  seq 0 (k * w) = flat_map (fun y => map (fun x => y * w + x) (seq 0 w)) (seq 0 k).
Proof.
  rewrite <- (rows_of (fun y x => y * w + x)). rewrite <- (map_id (seq 0 (k * w))) at 1.
  apply map_ext_in. intros n Hn. apply in_seq in Hn.
  rewrite (Nat.div_mod n w) at 1 by (intros Z; rewrite Z in Hn; lia). lia.
Qed.

Lemma flat_map_map {A B C} (f : B -> list C) (g : A -> B) l :
  flat_map f (map g l) = flat_map (fun x => f (g x)) l.
Proof. induction l as [|x l IH]; [reflexivity|]. cbn. now rewrite IH. Qed.

Lemma flat_map_flat {A B C} (f : B -> list C) (g : A -> list B) l :
  flat_map f (flat_map g l) = flat_map (fun x => flat_map f (g x)) l.
Proof. induction l as [|x l IH]; [reflexivity|]. cbn [flat_map]. now rewrite flat_map_app, IH. Qed.

Lemma map_flat {A B C} (f : B -> C) (g : A -> list B) l :
  map f (flat_map g l) = flat_map (fun x => map f (g x)) l.
Proof. induction l as [|x l IH]; [reflexivity|]. cbn [flat_map]. now rewrite map_app, IH. Qed.

Lemma flat_ext {A B} (f g : A -> list B) l : (forall x, In x l -> f x = g x) ->
  flat_map f l = flat_map g l.
Proof. intros H. rewrite !flat_map_concat_map. f_equal. now apply map_ext_in. Qed.

Lemma both_map {A B C D} (f : A -> B -> C) (g : D -> A) h l : both f (map g l) (map h l) =
  map (fun x => f (g x) (h x)) l.
Proof. induction l as [|x l IH]; [reflexivity|]. cbn [map both]. now rewrite IH. Qed.

Lemma Forall2_map {A B C} (P : B -> C -> Prop) (f : A -> B) g l :
  (forall x, In x l -> P (f x) (g x)) ->
  Forall2 P (map f l) (map g l).
Proof.
  induction l as [|x l IH]; intros H; constructor; [apply H; now left|]. apply IH.
  intros; apply H; now right.
Qed.

Lemma Forall2_flat {A B C} (P : B -> C -> Prop) (f : A -> list B) g l :
  (forall x, In x l -> Forall2 P (f x) (g x)) ->
  Forall2 P (flat_map f l) (flat_map g l).
Proof.
  induction l as [|x l IH]; intros H; [constructor|]. apply Forall2_app; [apply H; now left|].
  apply IH. intros; apply H; now right. Qed.

Lemma filter_mapped {A B} (p : B -> bool) (f : A -> B) l :
  filter p (map f l) = map f (filter (fun x => p (f x)) l).
Proof. induction l as [|x l IH]; [reflexivity|]. cbn. rewrite IH. now destruct (p (f x)). Qed.

Lemma filter_flat {A B} (p : B -> bool) (q : A -> bool) (f : A -> list B) l :
  (forall x, filter p (f x) = if q x then f x else []) ->
  filter p (flat_map f l) = flat_map f (filter q l).
Proof.
  intros H. induction l as [|x l IH]; [reflexivity|]. cbn [flat_map filter].
  rewrite filter_app, IH, H. now destruct (q x).
Qed.
