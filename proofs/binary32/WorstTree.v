(** * The worst tree of additions

    Let [n] terms of magnitudes [m_1 >= ... >= m_n >= 0] be added by any tree. Every inner node of
    the tree is a rounded addition, whose error is in proportion to the magnitude of its subtree's
    sum: at most that of its terms, at most a number [c] that caps all partial sums, and at the root
    at most [f]. How large can these be together?

    - [worst c f l]: the largest possible total, as the sum over [k = 2..n - 1] of the [k] largest
      magnitudes or [c], whichever is less, and [f];
    - [worst_join]: joining two trees by one more addition stays below [worst] (so any tree does);
    - [worst_sorted]: for magnitudes in descending order it is [climb c f m], one pass over their
      partial sums: the number that docs/bound.md, section 4, calls T'.

    Rests on nothing but real arithmetic. Stands behind [Layer.rounding] of lastbit_check. *)

From Coq Require Import Reals Lra Lia List Permutation Sorting.Sorted.
From Flocq.Core Require Import Raux.
From Lastbit Require Import Totals.
Import ListNotations.
Open Scope R_scope.

(** The largest sum of at most [k] members. *)
Fixpoint top (k : nat) (l : list R) : R :=
  match k, l with
  | O, _ | _, [] => 0
  | S k', x :: l' => Rmax (x + top k' l') (top k l')
  end.

Section Cap.
Variable c : R.                       (* no partial sum is larger *)
Hypothesis Hc : 0 <= c.

(** [top 2 l + ... + top (m + 1) l], capped. *)
Definition levels (m : nat) (l : list R) : R := over m (fun i => Rmin (top (S (S i)) l) c).

(** The partial sums of two terms or more, and then the whole. *)
Definition worst (f : R) (l : list R) : R :=
  match l with [] | [_] => 0 | _ => levels (length l - 2) l + f end.
End Cap.

Lemma max_le a b c d : a <= c -> b <= d -> Rmax a b <= Rmax c d.
Proof. intros. apply Rmax_lub; [generalize (Rmax_l c d)|generalize (Rmax_r c d)]; lra. Qed.

(** ** Properties of [top] *)

Lemma top_0 l : top 0 l = 0. Proof. now destruct l. Qed.
Lemma top_nil k : top k [] = 0. Proof. now destruct k. Qed.

Lemma top_S k l : nonneg l -> top k l <= top (S k) l.
Proof.
  intros H. revert k. induction H as [|x l Hx Hl IH]; intros k; [rewrite !top_nil; lra|].
  destruct k as [|k].
  - simpl. apply Rle_trans with (2 := Rmax_l _ _). rewrite top_0. lra.
  - change (top (S k) (x :: l)) with (Rmax (x + top k l) (top (S k) l)).
    change (top (S (S k)) (x :: l)) with (Rmax (x + top (S k) l) (top (S (S k)) l)).
    apply max_le; [generalize (IH k); lra|apply IH].
Qed.

Lemma top_mono j k l : nonneg l -> (j <= k)%nat -> top j l <= top k l.
Proof. intros H. induction 1 as [|k _ IH]; [lra|]. generalize (top_S k l H); lra. Qed.

Lemma top_pos k l : nonneg l -> 0 <= top k l.
Proof. intros H. rewrite <- (top_0 l). apply top_mono; [exact H|lia]. Qed.

Lemma top_cons k x l : top k l <= top k (x :: l).
Proof. destruct k; [rewrite !top_0; lra|]. apply Rmax_r. Qed.

Lemma top_app_l k l1 l2 : nonneg l2 -> top k l1 <= top k (l1 ++ l2).
Proof.
  intros H. revert k. induction l1 as [|x l IH]; intros k.
  - rewrite top_nil. now apply top_pos.
  - destruct k; [rewrite !top_0; lra|]. simpl. apply max_le; [generalize (IH k); lra|apply IH].
Qed.

Lemma top_app_r k l1 l2 : top k l2 <= top k (l1 ++ l2).
Proof. induction l1 as [|x l IH]; [apply Rle_refl|]. apply Rle_trans with (1 := IH), top_cons. Qed.

Lemma top_all k l : nonneg l -> (length l <= k)%nat -> top k l = total l.
Proof.
  intros H. revert k. induction H as [|x l Hx Hl IH]; intros k Hk; [apply top_nil|].
  simpl in Hk. destruct k as [|k]; [lia|].
  change (Rmax (x + top k l) (top (S k) l) = x + total l).
  rewrite !IH by lia. apply Rmax_left. lra.
Qed.

Lemma top_swap k x y l : top k (x :: y :: l) = top k (y :: x :: l).
Proof.
  destruct k as [|[|k]]; [reflexivity| |]; simpl; rewrite ?top_0;
    unfold Rmax; repeat destruct Rle_dec; lra.
Qed.

Lemma top_skip k x l l' : (forall k, top k l = top k l') -> top k (x :: l) = top k (x :: l').
Proof. intros H. destruct k; [reflexivity|]. simpl. now rewrite !H. Qed.

Lemma top_perm l l' : Permutation l l' -> forall k, top k l = top k l'.
Proof.
  induction 1 as [|x l l' _ IH|x y l|l l' l'' _ IH1 _ IH2]; intros k.
  - reflexivity.
  - now apply top_skip.
  - apply top_swap.
  - now rewrite IH1.
Qed.

Lemma top_le l m : Forall2 Rle l m -> forall k, top k l <= top k m.
Proof.
  induction 1 as [|x y l m Hxy _ IH]; intros k; [apply Rle_refl|].
  destruct k; [rewrite !top_0; lra|]. simpl. apply max_le; [generalize (IH k); lra|apply IH].
Qed.

(** ** Properties of [worst] *)

Section Capped.
Variable c : R.
Hypothesis Hc : 0 <= c.

Lemma min_le a b : a <= b -> Rmin a c <= Rmin b c.
Proof. intros H. apply Rmin_glb; [generalize (Rmin_l a c)|generalize (Rmin_r a c)]; lra. Qed.

Lemma min_pos a : 0 <= a -> 0 <= Rmin a c.
Proof. intros H. now apply Rmin_glb. Qed.

Lemma levels_pos m l : nonneg l -> 0 <= levels c m l.
Proof. intros H. apply over_pos. intros. apply min_pos. now apply top_pos. Qed.

Lemma levels_more m k l : nonneg l -> (m <= k)%nat -> levels c m l <= levels c k l.
Proof.
  intros H. induction 1 as [|k _ IH]; [lra|]. unfold levels in *. rewrite over_S.
  generalize (min_pos _ (top_pos (S (S k)) l H)). lra.
Qed.

Lemma levels_app_l m l1 l2 : nonneg l2 -> levels c m l1 <= levels c m (l1 ++ l2).
Proof. intros H. apply over_le. intros. now apply min_le, top_app_l. Qed.

Lemma levels_le m l l' : Forall2 Rle l l' -> levels c m l <= levels c m l'.
Proof. intros H. apply over_le. intros. now apply min_le, top_le. Qed.

Lemma worst_short f l : (length l < 2)%nat -> worst c f l = 0.
Proof. destruct l as [|x [|y l]]; [easy|easy|simpl; lia]. Qed.

Lemma worst_long f l : (2 <= length l)%nat -> worst c f l = levels c (length l - 2) l + f.
Proof. destruct l as [|x [|y l]]; [simpl; lia|simpl; lia|easy]. Qed.

Lemma worst_pos f l : 0 <= f -> nonneg l -> 0 <= worst c f l.
Proof.
  intros Hf H.
  destruct (Nat.lt_ge_cases (length l) 2) as [L|L]; [rewrite worst_short by exact L; lra|].
  rewrite worst_long by exact L. generalize (levels_pos (length l - 2) l H). lra.
Qed.

Lemma worst_perm f l l' : Permutation l l' -> worst c f l = worst c f l'.
Proof.
  intros P. assert (E := Permutation_length P). destruct (Nat.lt_ge_cases (length l) 2) as [L|L].
  - rewrite !worst_short by lia. reflexivity.
  - rewrite !worst_long by lia. rewrite E. f_equal. apply over_ext. intros.
    now rewrite (top_perm _ _ P).
Qed.

Lemma worst_le f f' l m : f <= f' -> Forall2 Rle l m -> worst c f l <= worst c f' m.
Proof.
  intros Hf H. assert (E : length l = length m) by now induction H; simpl; auto.
  destruct (Nat.lt_ge_cases (length l) 2) as [L|L].
  - rewrite !worst_short by lia. lra.
  - rewrite !worst_long by lia. rewrite E. generalize (levels_le (length m - 2) l m H). lra.
Qed.

Lemma worst_cons f x l : 0 <= f -> 0 <= x -> nonneg l -> worst c f l <= worst c f (x :: l).
Proof.
  intros Hf Hx H. assert (N : nonneg (x :: l)) by now constructor.
  destruct (Nat.lt_ge_cases (length l) 2) as [L|L].
  - rewrite (worst_short f l) by exact L. now apply worst_pos.
  - rewrite !worst_long by (simpl; lia). apply Rplus_le_compat_r.
    apply Rle_trans with (levels c (length l - 2) (x :: l)).
    + apply over_le. intros. apply min_le, top_cons.
    + apply levels_more; [exact N|simpl; lia].
Qed.

(** A tree whose whole is capped like any partial sum of it. *)
Lemma worst_part l : nonneg l -> worst c (Rmin (total l) c) l = levels c (pred (length l)) l.
Proof.
  intros H. destruct (Nat.lt_ge_cases (length l) 2) as [L|L].
  - rewrite worst_short by exact L. replace (pred (length l)) with 0%nat by lia. reflexivity.
  - rewrite worst_long by exact L. replace (pred (length l)) with (S (length l - 2)) by lia.
    unfold levels. rewrite over_S, top_all by (exact H || lia). reflexivity.
Qed.

(** Two trees joined by one more addition, whose subtree is everything. *)
Theorem worst_join f l1 l2 : nonneg l1 -> nonneg l2 -> l1 <> [] -> l2 <> [] ->
  worst c (Rmin (total l1) c) l1 + worst c (Rmin (total l2) c) l2 + f <= worst c f (l1 ++ l2).
Proof.
  intros H1 H2 N1 N2. rewrite !worst_part by assumption.
  assert (L1 : (0 < length l1)%nat) by (destruct l1; [easy|simpl; lia]).
  assert (L2 : (0 < length l2)%nat) by (destruct l2; [easy|simpl; lia]).
  rewrite worst_long by (rewrite length_app; lia). apply Rplus_le_compat_r.
  assert (H12 : nonneg (l1 ++ l2)) by now apply Forall_app.
  replace (length (l1 ++ l2) - 2)%nat with (pred (length l1) + pred (length l2))%nat
    by (rewrite length_app; lia).
  generalize (pred (length l1)) as a, (pred (length l2)) as b. intros a b. induction b as [|b IH].
  - rewrite Nat.add_0_r. change (levels c 0 l2) with 0. generalize (levels_app_l a l1 l2 H2); lra.
  - rewrite Nat.add_succ_r. unfold levels in *. rewrite !over_S.
    assert (Rmin (top (S (S b)) l2) c <= Rmin (top (S (S (a + b))) (l1 ++ l2)) c).
    { apply min_le. apply Rle_trans with (1 := top_app_r _ l1 _). apply top_mono; [exact H12|lia]. }
    lra.
Qed.

(** Without sorting: at most [n - 1] times the sum of the magnitudes. *)
Theorem worst_simple f l : nonneg l -> f <= total l ->
  worst c f l <= INR (pred (length l)) * total l.
Proof.
  intros H Hf. assert (T := total_pos l H). destruct (Nat.lt_ge_cases (length l) 2) as [L|L].
  - rewrite worst_short by exact L. apply Rmult_le_pos; [apply pos_INR|exact T].
  - rewrite worst_long by exact L. replace (pred (length l)) with (S (length l - 2)) by lia.
    rewrite S_INR. assert (levels c (length l - 2) l <= INR (length l - 2) * total l).
    { generalize (length l - 2)%nat as k.
      induction k as [|k IH]; [unfold levels, over; simpl; lra|]. unfold levels in *.
      rewrite over_S, S_INR. apply Rle_trans with (INR k * total l + total l); [|lra].
      apply Rplus_le_compat; [exact IH|]. apply Rle_trans with (1 := Rmin_l _ _).
      destruct (Nat.le_gt_cases (length l) (S (S k))) as [K|K];
        [rewrite top_all by assumption; lra|].
      rewrite <- (top_all (length l) l H) by lia. apply top_mono; [exact H|lia]. }
    lra.
Qed.
End Capped.

(** ** A factor of all terms *)

Lemma top_scale a l k : 0 <= a -> top k (map (Rmult a) l) = a * top k l.
Proof.
  intros Ha. revert k. induction l as [|x l IH]; intros k; [cbn [map]; rewrite !top_nil; ring|].
  destruct k; [rewrite !top_0; ring|]. simpl. rewrite !IH, <- RmaxRmult by exact Ha. f_equal. ring.
Qed.

Lemma worst_scale a c f l : 0 <= a -> a * worst c f l = worst (a * c) (a * f) (map (Rmult a) l).
Proof.
  intros Ha. destruct (Nat.lt_ge_cases (length l) 2) as [L|L].
  - rewrite !worst_short by (rewrite ?length_map; exact L). ring.
  - rewrite !worst_long by (rewrite ?length_map; exact L). rewrite length_map, Rmult_plus_distr_l.
    f_equal.
    unfold levels. rewrite <- over_scale. apply over_ext. intros j _. rewrite top_scale by exact Ha.
    apply Rmult_min_distr_l. exact Ha.
Qed.

(** ** The formula for magnitudes in descending order *)

Definition descending (l : list R) : Prop := Sorted (fun a b => b <= a) l.

Lemma top_exchange x l : nonneg l -> Forall (fun y => y <= x) l -> 0 <= x ->
  forall k, top (S k) l <= x + top k l.
Proof.
  intros H B Hx. induction l as [|y l IH]; intros k; [rewrite !top_nil; lra|].
  inversion_clear H as [|? ? Hy Hl]. inversion_clear B as [|? ? By Bl]. apply Rmax_lub.
  - fold (top k l). generalize (top_cons k y l); lra.
  - fold (top (S k) l). apply Rle_trans with (1 := IH Hl Bl k). generalize (top_cons k y l); lra.
Qed.

Lemma top_descending l : nonneg l -> descending l -> forall k, top k l = total (firstn k l).
Proof.
  intros H D. induction l as [|x l IH]; intros k; [rewrite top_nil, firstn_nil; reflexivity|].
  assert (B : Forall (fun y => y <= x) l).
  { apply (Sorted_extends (R := fun a b => b <= a)); [intros a b c; simpl; lra|exact D]. }
  destruct k as [|k]; [reflexivity|]. inversion_clear H as [|? ? Hx Hl].
  inversion_clear D as [|? ? Dl _].
  change (Rmax (x + top k l) (top (S k) l) = x + total (firstn k l)). rewrite <- IH by assumption.
  apply Rmax_left. now apply top_exchange.
Qed.

(** The partial sums from [s] on, but for the last one: it is the whole. *)
Fixpoint partials (c s : R) (m : list R) : R :=
  match m with
  | [] | [_] => 0
  | x :: m' => Rmin (s + x) c + partials c (s + x) m'
  end.

Definition climb (c f : R) (m : list R) : R :=
  match m with [] | [_] => 0 | x :: m' => partials c x m' + f end.

Lemma partials_over c s m :
  partials c s m = over (pred (length m)) (fun i => Rmin (s + total (firstn (S i) m)) c).
Proof.
  revert s. induction m as [|x [|y m] IH]; intros s; [reflexivity|reflexivity|].
  change (partials c s (x :: y :: m)) with (Rmin (s + x) c + partials c (s + x) (y :: m)).
  rewrite IH. cbn [length pred]. rewrite over_shift. f_equal.
  - cbn [firstn total fold_right]. f_equal. lra.
  - apply over_ext. intros i _.
    change (firstn (S (S i)) (x :: y :: m)) with (x :: firstn (S i) (y :: m)).
    change (total (x :: firstn (S i) (y :: m))) with (x + total (firstn (S i) (y :: m))). f_equal.
    lra.
Qed.

(* map: no tree's partial sums exceed those of a chain in descending order, capped *)
Theorem worst_sorted c f m : nonneg m -> descending m -> worst c f m = climb c f m.
Proof.
  intros H D. destruct m as [|x [|y m]]; [reflexivity|reflexivity|].
  rewrite worst_long by (simpl; lia). cbn [climb]. f_equal. rewrite partials_over. unfold levels.
  replace (length (x :: y :: m) - 2)%nat with (pred (length (y :: m))) by (simpl; lia).
  apply over_ext. intros i _. rewrite (top_descending _ H D). f_equal.
Qed.
