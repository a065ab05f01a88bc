(** * Sums that Statement.v admits

    - [admits]: a sum as a runtime has carried it out, with every partial result, does what
      Statement.v allows;
    - [admits_sum], [admits_terms_ok]: then it is a [sum], of the given terms in any order.

    Rests on Single.v; Executions.v takes it to all units. *)

From Flocq.Core Require Import Raux Zaux.
From Coq Require Import Reals Lra Lia ZArith List Bool Permutation.
From Lastbit Require Import Statement binary32.Terms binary32.Additions checker.Program
  checker.Numbers checker.Annotation checker.SumRoundings
  checker.Single.
Notation real := Numbers.real.
Import ListNotations.
Open Scope Z_scope.

(** Constants, as they are multiplied by each other and divided beforehand, with the result of each
    operation; by a single number of the file only is divided. *)
Inductive folding :=
| FNumber (c : Z)
| FProduct (a b : folding) (v : Z)
| FQuotient (a : folding) (c v : Z)
| FReciprocal (c v : Z).

(** A tree of additions, and of products and quotients of partial results, with the result of
    each. *)
Inductive witness :=
| WNumber (x : Z)
| WTimes (c : folding) (a : witness) (v : Z)
| WOver (c : Z) (a : witness) (v : Z)
| WAdd (a b : witness) (v : Z).

Definition constant_of (c : folding) : Z :=
  match c with FNumber v | FProduct _ _ v | FQuotient _ _ v | FReciprocal _ v => v end.
Definition result (t : witness) : Z :=
  match t with WNumber v | WTimes _ _ v | WOver _ _ v | WAdd _ _ v => v end.

(** Leaves: a number, and the factors that it has got. *)
Inductive zfactor := ZTimes (c : Z) | ZOver (c : Z).
Definition zterm : Type := list zfactor * Z.

Fixpoint factors_of (c : folding) : list zfactor :=
  match c with
  | FNumber c => [ZTimes c]
  | FProduct a b _ => factors_of a ++ factors_of b
  | FQuotient a c _ => ZOver c :: factors_of a
  | FReciprocal c _ => [ZOver c]
  end.

Fixpoint leaves (t : witness) : list zterm :=
  match t with
  | WNumber x => [([], x)]
  | WTimes c a _ => map (fun y => (factors_of c ++ fst y, snd y)) (leaves a)
  | WOver c a _ => map (fun y => (ZOver c :: fst y, snd y)) (leaves a)
  | WAdd a b _ => leaves a ++ leaves b
  end.

Fixpoint folds_so (c : folding) : bool :=
  match c with
  | FNumber _ => true
  | FProduct a b v =>
      folds_so a && folds_so b && product (constant_of a) (constant_of b) v &&
        product (constant_of b) (constant_of a) v
  | FQuotient a c v => folds_so a && quotient_by c (constant_of a) v
  | FReciprocal c v => quotient_by c one v
  end.

Fixpoint admits (t : witness) : bool :=
  match t with
  | WNumber _ => true
  | WTimes c a v => folds_so c && admits a && product (constant_of c) (result a) v
  | WOver c a v => admits a && quotient_by c (result a) v
  | WAdd a b v =>
      admits a && admits b &&
      (if result a =? 0 then v =? result b else if result b =? 0 then v =? result a
       else rounded ((result a + result b) * one) v)
  end.

Definition factor_of (f : zfactor) : factor :=
  match f with ZTimes c => Times (real c) | ZOver c => Over (real c) end.
Definition term_of (t : zterm) : term := (map factor_of (fst t), real (snd t)).
Definition terms_of (t : witness) : list term := map term_of (leaves t).

Open Scope R_scope.

(** ** Constants, and sums *)

Lemma folds_so_ok c : folds_so c = true ->
  folds (map factor_of (factors_of c)) (Finite (real (constant_of c))).
Proof.
  induction c as [c|a IHa b IHb v|a IHa c v|c v]; cbn [folds_so factors_of constant_of]; intros H.
  - apply folds_number.
  - rewrite !andb_true_iff in H. destruct H as [[[H1 H2] H3] H4]. rewrite map_app.
    now apply folds_product with (1 := IHa H1) (2 := IHb H2); apply product_ok.
  - rewrite andb_true_iff in H. destruct H as [H1 H2]. cbn [map factor_of].
    apply (folds_quotient _ [real c] _ (Finite (real c))) with (1 := IHa H1);
      [apply folds_number|now apply quotient_by_ok].
  - cbn [map factor_of]. apply (folds_reciprocal [real c] (Finite (real c))); [apply folds_number|].
    rewrite <- real_one. now apply quotient_by_ok.
Qed.

Lemma leaves_some t : terms_of t <> [].
Proof.
  unfold terms_of. intros H. apply map_eq_nil in H. revert H.
  induction t as [x|c a IH v|c a IH v|a IHa b IHb v]; cbn [leaves]; intros H.
  - discriminate.
  - now apply map_eq_nil in H.
  - now apply map_eq_nil in H.
  - now apply app_eq_nil in H.
Qed.

Lemma scaled_terms (fs : list zfactor) (l : list zterm) :
  map term_of (map (fun y => (fs ++ fst y, snd y)) l) =
    map (with_factors (map factor_of fs)) (map term_of l).
Proof.
  rewrite !map_map. apply map_ext. intros [gs x]. unfold term_of, with_factors. cbn [fst snd].
  now rewrite map_app.
Qed.

Theorem admits_sum t : admits t = true -> sum (terms_of t) (Finite (real (result t))).
Proof.
  induction t as [x|c a IH v|c a IH v|a IHa b IHb v]; cbn [admits result]; intros H.
  - apply sum_number. intros p [= <-]. exists (real x). split; [apply reads_refl|reflexivity].
  - rewrite !andb_true_iff in H. destruct H as [[H1 H2] H3]. unfold terms_of. cbn [leaves].
    rewrite scaled_terms.
    apply sum_times with (2 := folds_so_ok c H1) (3 := IH H2);
      [apply leaves_some|now apply product_ok].
  - rewrite andb_true_iff in H. destruct H as [H1 H2]. unfold terms_of. cbn [leaves].
    rewrite (scaled_terms [ZOver c]).
    apply (sum_over [real c] _ (Finite (real c))) with (3 := IH H1);
      [apply leaves_some|apply folds_number|now apply quotient_by_ok].
  - rewrite !andb_true_iff in H. destruct H as [[H1 H2] H3]. unfold terms_of. cbn [leaves].
    rewrite map_app.
    apply sum_adds with (1 := IHa H1) (2 := IHb H2). intros p q [= <-] [= <-].
    exists (real (result a)), (real (result b)).
    split; [apply reads_refl|]. split; [apply reads_refl|].
    destruct (Z.eqb_spec (result a) 0) as [Za|Na]; [|destruct (Z.eqb_spec (result b) 0) as [Zb|Nb]].
    + apply Z.eqb_eq in H3. subst v. rewrite Za, real_0, Rplus_0_l. split; [apply rounds_exact|].
      split; [easy|]. now intros ->.
    + apply Z.eqb_eq in H3. subst v. rewrite Zb, real_0, Rplus_0_r. split; [apply rounds_exact|].
      split; [|easy]. now intros ->.
    + apply rounded_ok in H3. rewrite <- sum_real2 in H3. split; [now apply rounds_ok|].
      split; intros E; apply real_zero in E; contradiction.
Qed.

(** ** Of given terms *)

Definition same_factor (f g : zfactor) : bool :=
  match f, g with ZTimes c, ZTimes d | ZOver c, ZOver d => c =? d | _, _ => false end%Z.

Section Permuted.
Context {A : Type}.
Variable same : A -> A -> bool.

(** The list without [a]; [None] if it is not there. *)
Fixpoint without (a : A) (l : list A) : option (list A) :=
  match l with
  | [] => None
  | b :: l' =>
      if same a b then Some l' else match without a l' with Some k => Some (b :: k)
        | None => None end
  end.

Fixpoint permuted (l k : list A) : bool :=
  match l with
  | [] => match k with [] => true | _ => false end
  | a :: l' => match without a k with Some k' => permuted l' k' | None => false end
  end.

(** In [l] stands something that is the same as [a]. *)
Lemma without_ok a l k : without a l = Some k -> exists b, same a b = true /\
  Permutation (b :: k) l.
Proof.
  revert k. induction l as [|b l IH]; intros k H; [discriminate|]. cbn in H.
  destruct (same a b) eqn:E.
  - injection H as <-. now exists b.
  - destruct (without a l) as [m|] eqn:W; [|discriminate]. injection H as <-.
    destruct (IH m eq_refl) as (c & E' & P).
    exists c. split; [exact E'|]. rewrite perm_swap. now apply perm_skip.
Qed.

Lemma permuted_ok l k : permuted l k = true ->
  exists k', Forall2 (fun a b => same a b = true) l k' /\ Permutation k' k.
Proof.
  revert k. induction l as [|a l IH]; intros k H; cbn in H;
    [destruct k; [exists []; split; constructor|discriminate]|].
  destruct (without a k) as [m|] eqn:W; [|discriminate].
  destruct (without_ok _ _ _ W) as (b & E & P).
  destruct (IH m H) as (k' & F & Q). exists (b :: k'). split; [now constructor|]. rewrite <- P.
  now apply perm_skip.
Qed.
End Permuted.

Definition same (a b : zterm) : bool := permuted same_factor (fst a) (fst b) && (snd a =? snd b)%Z.

Lemma same_ok a b : same a b = true -> Permutation (map factor_of (fst a)) (map factor_of (fst b))
  /\ snd a = snd b.
Proof.
  unfold same. rewrite andb_true_iff, Z.eqb_eq. intros [H1 H2]. split; [|exact H2].
  destruct (permuted_ok _ _ _ H1) as (k & F & P).
  replace (fst a) with k; [now apply Permutation_map|]. symmetry.
  revert F. clear. generalize (fst a). induction 1 as [|f g l k H _ IH]; [reflexivity|].
  f_equal; [|exact IH].
  destruct f, g; try discriminate; cbn in H; apply Z.eqb_eq in H; now subst.
Qed.

(** [v] is the sum of the terms [l], computed by [t]. *)
Definition admits_terms (t : witness) (l : list zterm) (v : Z) : bool :=
  admits t && (result t =? v)%Z && permuted same (leaves t) l.

Theorem admits_terms_ok t l v : admits_terms t l v = true -> sum (map term_of l) (Finite (real v)).
Proof.
  unfold admits_terms. rewrite !andb_true_iff, Z.eqb_eq. intros [[H1 <-] H3].
  destruct (permuted_ok _ _ _ H3) as (k & F & P).
  apply (sum_reordered (map term_of k)); [now apply Permutation_map|].
  apply (sum_any_order (terms_of t) (terms_of t)); [apply Permutation_refl| |now apply admits_sum].
  clear -F. unfold terms_of. induction F as [|x y l m H _ IH]; constructor; [|exact IH].
  destruct (same_ok x y H) as [P E]. split; [exact P|]. unfold term_of. cbn [snd]. now rewrite E.
Qed.
