(** * The worst tree of additions

    Let [n] terms of magnitudes [m_1 >= ... >= m_n >= 0] be added by any tree. Every inner node of
    the tree is a rounded addition, whose error is in proportion to the magnitude of its subtree.
    How large can the magnitudes of all subtrees be together?

    - [worst l]: the largest possible total, as the sum over [k = 2..n] of the [k] largest magnitudes;
    - [worst_join]: joining two trees by one more addition stays below [worst] (so any tree does);
    - [worst_sorted]: for magnitudes in descending order
      [worst m = sum_i (n + 1 - max(i, 2)) m_i], the number that docs/bound.md, section 4, calls T.

    Rests on nothing but real arithmetic. Stands behind [Layer.rounding] of lastbit_check. *)

From Coq Require Import Reals Lra Lia List Permutation Sorting.Sorted.
From Lastbit Require Import Totals.
Import ListNotations.
Open Scope R_scope.

(** The largest sum of at most [k] members. *)
Fixpoint top (k : nat) (l : list R) : R :=
  match k, l with
  | O, _ | _, [] => 0
  | S k', x :: l' => Rmax (x + top k' l') (top k l')
  end.

(** [top 2 l + ... + top (m + 1) l] *)
Fixpoint levels (m : nat) (l : list R) : R :=
  match m with O => 0 | S m' => levels m' l + top (S m) l end.

Definition worst (l : list R) : R := levels (pred (length l)) l.

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

Lemma levels_pos m l : nonneg l -> 0 <= levels m l.
Proof. intros H. induction m; simpl levels; [lra|]. generalize (top_pos (S (S m)) l H); lra. Qed.

Lemma levels_app_l m l1 l2 : nonneg l2 -> levels m l1 <= levels m (l1 ++ l2).
Proof. intros H. induction m; simpl levels; [lra|]. generalize (top_app_l (S (S m)) l1 l2 H); lra. Qed.

Lemma levels_perm m l l' : Permutation l l' -> levels m l = levels m l'.
Proof. intros P. induction m; simpl levels; [reflexivity|]. now rewrite IHm, (top_perm _ _ P). Qed.

Lemma levels_le m l l' : Forall2 Rle l l' -> levels m l <= levels m l'.
Proof. intros H. induction m; simpl levels; [lra|]. generalize (top_le _ _ H (S (S m))); lra. Qed.

Lemma worst_pos l : nonneg l -> 0 <= worst l.
Proof. apply levels_pos. Qed.

Lemma worst_perm l l' : Permutation l l' -> worst l = worst l'.
Proof. intros P. unfold worst. rewrite (Permutation_length P). now apply levels_perm. Qed.

Lemma worst_le l m : Forall2 Rle l m -> worst l <= worst m.
Proof. intros H. unfold worst. assert (E : length l = length m) by now induction H; simpl; auto.
  rewrite E. now apply levels_le. Qed.

(** Two trees joined by one more addition, whose subtree is everything. *)
Theorem worst_join l1 l2 : nonneg l1 -> nonneg l2 -> l1 <> [] -> l2 <> [] ->
  worst l1 + worst l2 + total (l1 ++ l2) <= worst (l1 ++ l2).
Proof.
  intros H1 H2 N1 N2. unfold worst. rewrite app_length.
  destruct l1 as [|x1 t1]; [easy|]. destruct l2 as [|x2 t2]; [easy|].
  set (l1 := x1 :: t1) in *. set (l2 := x2 :: t2) in *. set (a := length t1). set (b := length t2).
  replace (pred (length l1)) with a by reflexivity. replace (pred (length l2)) with b by reflexivity.
  replace (pred (length l1 + length l2)) with (S (a + b)) by (simpl; fold a b; lia).
  assert (H12 : nonneg (l1 ++ l2)) by now apply Forall_app.
  assert (K : forall b, levels a l1 + levels b l2 <= levels (a + b) (l1 ++ l2)).
  { clear b. induction b as [|b IH].
    - rewrite Nat.add_0_r. change (levels 0 l2) with 0. generalize (levels_app_l a l1 l2 H2); lra.
    - rewrite Nat.add_succ_r. cbn [levels].
      assert (top (S (S b)) l2 <= top (S (S (a + b))) (l1 ++ l2)).
      { apply Rle_trans with (1 := top_app_r _ l1 _). apply top_mono; [exact H12|lia]. }
      lra. }
  change (levels (S (a + b)) (l1 ++ l2)) with (levels (a + b) (l1 ++ l2) + top (S (S (a + b))) (l1 ++ l2)).
  rewrite (top_all (S (S (a + b)))); [specialize (K b); lra|exact H12|].
  rewrite app_length. simpl. fold a b. lia.
Qed.

(** One term and a tree of others, joined: a fused multiply-add. *)
Corollary worst_cons x l : 0 <= x -> nonneg l -> l <> [] ->
  worst l + (x + total l) <= worst (x :: l).
Proof.
  intros Hx Hl N. assert (H1 : nonneg [x]) by now constructor.
  generalize (worst_join [x] l H1 Hl ltac:(easy) N). unfold worst at 1. simpl. lra.
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
  destruct k as [|k]; [reflexivity|]. inversion_clear H as [|? ? Hx Hl]. inversion_clear D as [|? ? Dl _].
  change (Rmax (x + top k l) (top (S k) l) = x + total (firstn k l)).
  rewrite <- IH by assumption. apply Rmax_left. now apply top_exchange.
Qed.

(** [sum_i (n + 1 - max(i, 2)) m_i], the magnitudes [m] numbered from [i]. *)
Fixpoint chain (n i : nat) (m : list R) : R :=
  match m with
  | [] => 0
  | x :: m' => (INR n + 1 - INR (Nat.max i 2)) * x + chain n (S i) m'
  end.

Lemma chain_S n i m : chain (S n) i m = chain n i m + total m.
Proof. revert i. induction m as [|x m IH]; intros i; cbn [chain total fold_right]; [lra|]. rewrite IH, S_INR. unfold total. lra. Qed.

(** [k] levels of a descending list, [k + 1 <= length m]: only the first [k + 1] members count. *)
Lemma levels_chain k m : nonneg m -> descending m ->
  levels k m = chain (S k) 1 (firstn (S k) m).
Proof.
  intros H D. induction k as [|k IH].
  - destruct m as [|x m]; cbn; [reflexivity|]. lra.
  - change (levels (S k) m) with (levels k m + top (S (S k)) m).
    rewrite IH, (top_descending m H D).
    assert (A : forall l i j, chain (S (S k)) i (firstn (S j) l) =
      chain (S (S k)) i (firstn j l) +
      match nth_error l j with Some x => (INR (S (S k)) + 1 - INR (Nat.max (i + j) 2)) * x | None => 0 end).
    { clear. induction l as [|x l IHl]; intros i j; [destruct j; cbn; lra|].
      destruct j as [|j].
      - cbn [nth_error]. rewrite Nat.add_0_r. destruct l; cbn [firstn chain]; lra.
      - cbn [nth_error]. change (firstn (S (S j)) (x :: l)) with (x :: firstn (S j) l).
        change (firstn (S j) (x :: l)) with (x :: firstn j l). cbn [chain]. rewrite (IHl (S i) j). replace (S i + j)%nat with (i + S j)%nat by lia. lra. }
    assert (B : forall l j, total (firstn (S j) l) = total (firstn j l) + match nth_error l j with Some x => x | None => 0 end).
    { clear. induction l as [|x l IHl]; intros j; [destruct j; cbn; lra|].
      destruct j as [|j]; [destruct l; cbn; lra|].
      change (x + total (firstn (S j) l) = x + total (firstn j l) + match nth_error l j with Some x => x | None => 0 end).
      rewrite IHl. lra. }
    rewrite A, (chain_S (S k)), B. replace (Nat.max (1 + S k) 2) with (S (S k)) by lia.
    destruct (nth_error m (S k)); rewrite ?S_INR; lra.
Qed.

Theorem worst_sorted m : nonneg m -> descending m -> worst m = chain (length m) 1 m.
Proof.
  intros H D. unfold worst. rewrite levels_chain by assumption.
  destruct m as [|x m]; [reflexivity|]. cbn [length pred].
  now rewrite firstn_all2 by (cbn; lia).
Qed.

(** The simpler bound, without sorting: at most [n - 1] times the sum of the magnitudes. *)
Theorem worst_simple l : nonneg l -> worst l <= INR (pred (length l)) * total l.
Proof.
  intros H. unfold worst. induction (pred (length l)) as [|k IH]; [simpl; lra|].
  change (levels (S k) l) with (levels k l + top (S (S k)) l). rewrite S_INR.
  assert (top (S (S k)) l <= total l).
  { destruct (Nat.le_gt_cases (length l) (S (S k))) as [L|L]; [rewrite top_all by assumption; lra|].
    rewrite <- (top_all (length l) l H) by lia. apply top_mono; [exact H|lia]. }
  lra.
Qed.
