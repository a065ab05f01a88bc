(** * Finite sums of real numbers

    [total l] adds up a list, [over n f] is [f 0 + ... + f (n - 1)]. Rests on nothing but real
    arithmetic; every other file uses it. *)

From Coq Require Import Reals Lra Lia List Permutation.
Import ListNotations.
Open Scope R_scope.

(** ** Lengths

    Lemmas of the library by the names that they have from Coq 8.20 on; before, they have others. *)

Lemma length_map {A B} (f : A -> B) l : length (map f l) = length l.
Proof. induction l as [|x l IH]; cbn; congruence. Qed.

Lemma length_app {A} (l m : list A) : length (l ++ m) = (length l + length m)%nat.
Proof. induction l as [|x l IH]; cbn; congruence. Qed.

Lemma length_seq n k : length (seq k n) = n.
Proof. revert k. induction n as [|n IH]; intros k; cbn; congruence. Qed.

Lemma length_rev {A} (l : list A) : length (rev l) = length l.
Proof. induction l as [|x l IH]; [reflexivity|]. cbn. rewrite length_app, IH. cbn. lia. Qed.

Lemma Forall2_length {A B} {P : A -> B -> Prop} {l m} : Forall2 P l m -> length l = length m.
Proof. induction 1; cbn; congruence. Qed.

(** Lists that agree member by member. *)
Lemma Forall2_nth_error {A B} (P : A -> B -> Prop) l m k x : Forall2 P l m ->
  nth_error l k = Some x -> exists y, nth_error m k = Some y /\ P x y.
Proof.
  intros H. revert k. induction H as [|a b l m Hab _ IH]; intros [|k] E; try discriminate.
  - injection E as <-. now exists b.
  - exact (IH k E).
Qed.

(** ** Lists *)

Definition total (l : list R) : R := fold_right Rplus 0 l.
Definition nonneg (l : list R) : Prop := Forall (Rle 0) l.

Lemma total_cons x l : total (x :: l) = x + total l. Proof. reflexivity. Qed.

Lemma total_app l1 l2 : total (l1 ++ l2) = total l1 + total l2.
Proof. induction l1 as [|x l IH]; simpl; [lra|]. rewrite IH; lra. Qed.

Lemma total_perm l l' : Permutation l l' -> total l = total l'.
Proof. induction 1; simpl; lra. Qed.

Lemma total_pos l : nonneg l -> 0 <= total l.
Proof. induction 1; simpl; lra. Qed.

Lemma total_le l m : Forall2 Rle l m -> total l <= total m.
Proof. induction 1; simpl; lra. Qed.

Lemma nonneg_perm l l' : Permutation l l' -> nonneg l -> nonneg l'.
Proof.
  intros P H. apply Forall_forall. intros x Hx. unfold nonneg in H. rewrite Forall_forall in H.
  apply H. now apply Permutation_in with (1 := Permutation_sym P).
Qed.

Lemma total_map_scale {A} a (f : A -> R) l : total (map (fun x => a * f x) l) = a * total (map f l).
Proof. induction l as [|x l IH]; unfold total in *; simpl; [lra|]. rewrite IH. lra. Qed.

Lemma total_map_le {A} (f g : A -> R) l : (forall x, In x l -> f x <= g x) ->
  total (map f l) <= total (map g l).
Proof.
  intros H. induction l as [|x l IH]; unfold total in *; simpl; [lra|].
  apply Rplus_le_compat; [apply H; now left|]. apply IH. intros y Hy. apply H. now right.
Qed.

Lemma total_map_ext {A} (f g : A -> R) l : (forall x, In x l -> f x = g x) ->
  total (map f l) = total (map g l).
Proof. intros H. f_equal. now apply map_ext_in. Qed.

Lemma total_map_plus {A} (f g : A -> R) l : total (map (fun x =>
  f x + g x) l) = total (map f l) + total (map g l).
Proof.
  induction l as [|x l IH]; [unfold total; simpl; lra|]. cbn [map]. rewrite !total_cons, IH. ring.
Qed.

Lemma total_map_const {A} c (l : list A) : total (map (fun _ => c) l) = INR (length l) * c.
Proof.
  induction l as [|x l IH]; [simpl; ring|]. cbn [map length]. rewrite total_cons, S_INR, IH. ring.
Qed.

(** ** Ranges *)

Definition over (n : nat) (f : nat -> R) : R := total (map f (seq 0 n)).

Lemma over_S n f : over (S n) f = over n f + f n.
Proof. unfold over. rewrite seq_S, map_app, total_app. simpl. lra. Qed.

Lemma over_shift n f : over (S n) f = f 0%nat + over n (fun i => f (S i)).
Proof. unfold over. rewrite <- cons_seq, <- seq_shift, map_cons, map_map. reflexivity. Qed.

Lemma over_ext n f g : (forall j, (j < n)%nat -> f j = g j) -> over n f = over n g.
Proof.
  induction n as [|n IH]; intros H; [reflexivity|]. rewrite !over_S, (H n) by lia.
  rewrite IH; [reflexivity|]. intros. apply H. lia.
Qed.

Lemma over_le n f g : (forall j, (j < n)%nat -> f j <= g j) -> over n f <= over n g.
Proof.
  induction n as [|n IH]; intros H; [apply Rle_refl|]. rewrite !over_S.
  apply Rplus_le_compat; [apply IH; intros; apply H; lia|apply H; lia].
Qed.

Lemma over_scale n a f : over n (fun j => a * f j) = a * over n f.
Proof. induction n as [|n IH]; [unfold over; simpl; lra|]. rewrite !over_S, IH. ring. Qed.

Lemma over_pos n f : (forall j, (j < n)%nat -> 0 <= f j) -> 0 <= over n f.
Proof.
  intros H. apply Rle_trans with (over n (fun _ => 0)).
  - induction n as [|n IH]; [unfold over; simpl; lra|]. rewrite over_S.
    assert (0 <= over n (fun _ => 0)) by (apply IH; intros; apply H; lia). lra.
  - now apply over_le.
Qed.

Lemma over_member n f c : (c < n)%nat -> (forall j, (j < n)%nat -> 0 <= f j) -> f c <= over n f.
Proof.
  induction n as [|n IH]; intros Hc H; [lia|]. rewrite over_S. destruct (Nat.eq_dec c n) as [->|N].
  - generalize (over_pos n f ltac:(intros; apply H; lia)). lra.
  - generalize (IH ltac:(lia) ltac:(intros; apply H; lia)) (H n ltac:(lia)). lra.
Qed.

Lemma over_near n f g e : (forall j, (j < n)%nat -> Rabs (f j - g j) <= e) ->
  Rabs (over n f - over n g) <= INR n * e.
Proof.
  induction n as [|n IH]; intros H.
  - unfold over. simpl. rewrite Rminus_0_r, Rabs_R0. lra.
  - rewrite !over_S, S_INR.
    replace (over n f + f n - (over n g + g n)) with ((over n f - over n g) + (f n - g n)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _).
    generalize (IH ltac:(intros; apply H; lia)) (H n ltac:(lia)). lra.
Qed.

Lemma over_plus n f g : over n (fun j => f j + g j) = over n f + over n g.
Proof. induction n as [|n IH]; [unfold over; simpl; lra|]. rewrite !over_S, IH. ring. Qed.

Lemma over_abs n f : Rabs (over n f) <= over n (fun j => Rabs (f j)).
Proof.
  induction n as [|n IH]; [unfold over; simpl; rewrite Rabs_R0; lra|]. rewrite !over_S.
  apply Rle_trans with (1 := Rabs_triang _ _). lra.
Qed.

Lemma over_swap m n f : over m (fun i => over n (f i)) = over n (fun j => over m (fun i => f i j)).
Proof.
  induction m as [|m IH].
  - unfold over at 1. simpl. induction n as [|n IH]; [reflexivity|]. rewrite over_S, <- IH.
    unfold over. simpl. lra.
  - rewrite over_S, IH, <- over_plus. apply over_ext. intros. now rewrite over_S.
Qed.

(** Members from [k] on are 0. *)
Lemma over_cut n k f : (k <= n)%nat -> (forall j, (k <= j < n)%nat -> f j = 0) ->
  over n f = over k f.
Proof.
  intros Hk. induction n as [|n IH]; intros H; [now replace k with 0%nat by lia|].
  destruct (Nat.eq_dec k (S n)) as [->|N]; [reflexivity|]. rewrite over_S, (H n) by lia.
  rewrite IH; [lra|lia|]. intros. apply H. lia.
Qed.

(** All members but one are 0. *)
Lemma over_one n k f : (k < n)%nat -> (forall j, (j < n)%nat -> j <> k -> f j = 0) ->
  over n f = f k.
Proof.
  intros Hk H. rewrite (over_cut n (S k)); [|lia|intros; apply H; lia].
  rewrite over_S, (over_cut k 0); [unfold over; simpl; lra|lia|]. intros. apply H; lia.
Qed.
