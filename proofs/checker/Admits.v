(** * Sums that Statement.v admits

    - [admits]: a sum as a runtime has carried it out, with the result of every product and every
      addition, does what Statement.v allows;
    - [admits_sum], [admits_terms_ok]: then it is a [sum], of the given terms in any order.

    Numbers are integers over 2^100 as everywhere in the checker, and every rounding has to be within
    [u |t|] (no underflow). Rests on SumRoundings.v; Executions.v takes it to all units. *)

From Flocq.Core Require Import Raux Zaux.
From Coq Require Import Reals Lra Lia ZArith List Bool Permutation.
From Lastbit Require Import Statement binary32.Terms checker.Program checker.Numbers checker.Annotation checker.SumRoundings.
Notation real := Numbers.real.
Import ListNotations.
Open Scope Z_scope.

(** A tree of additions, with the result of each node. *)
Inductive witness :=
| WProduct (w x v : Z)
| WConstant (b : Z)
| WAdd (a b : witness) (v : Z).

Definition result (t : witness) : Z := match t with WProduct _ _ v | WAdd _ _ v => v | WConstant b => b end.

(** Leaves: weight and value, or a constant. *)
Definition zterm : Type := (Z * Z) + Z.
Fixpoint leaves (t : witness) : list zterm :=
  match t with WProduct w x _ => [inl (w, x)] | WConstant b => [inr b] | WAdd a b _ => leaves a ++ leaves b end.
Definition zero_term (t : zterm) : bool := match t with inl (w, x) => w * x =? 0 | inr b => b =? 0 end.
Definition dead (t : witness) : bool := forallb zero_term (leaves t).

(** [v] is [t] (over 2^200), rounded. *)
Definition rounded (t v : Z) : bool := Z.abs (v * one - t) * 0x1000000 <=? Z.abs t.

Fixpoint admits (t : witness) : bool :=
  match t with
  | WProduct w x v =>
      if w * x =? 0 then v =? 0 else rounded (w * x) v && (negb (power_of_2 w) || (v * one =? w * x))
  | WConstant b => true
  | WAdd a b v =>
      admits a && admits b &&
      (if dead a then v =? result b else if dead b then v =? result a else rounded ((result a + result b) * one) v)
  end.

Definition term_of (t : zterm) : term := match t with inl (w, x) => Product (real w) (real x) | inr b => Constant (real b) end.
Definition terms_of (t : witness) : list term := map term_of (leaves t).

Open Scope R_scope.

Lemma rounded_ok t v : rounded t v = true -> Rabs (real v - real2 t) <= u * Rabs (real2 t).
Proof.
  unfold rounded. rewrite Z.leb_le. intros H. apply IZR_le in H. rewrite mult_IZR, !abs_IZR, minus_IZR, mult_IZR, one_is in H.
  rewrite u_is. assert (E : real v - real2 t = (IZR v * 2 ^ 100 - IZR t) * (/ 2 ^ 100 * / 2 ^ 100)) by (unfold real, real2; field).
  rewrite E. unfold real2, Rdiv. rewrite !Rabs_mult, !(Rabs_pos_eq (/ 2 ^ 100)) by lra. lra.
Qed.

Lemma rounds_ok t v : Rabs (real v - t) <= u * Rabs t -> rounds t (Finite (real v)).
Proof. intros H _. exists (real v). split; [reflexivity|]. generalize eta_pos. lra. Qed.

Lemma zero_term_ok t : zero_term t = true <-> vanishes (term_of t).
Proof.
  destruct t as [[w x]|b]; unfold vanishes; cbn [zero_term term_of exact]; rewrite Z.eqb_eq.
  - assert (E : real w * real x = IZR (w * x) / 2 ^ 100 / 2 ^ 100) by (unfold real; rewrite mult_IZR; lra). rewrite E. split.
    + intros ->. lra.
    + intros H. apply eq_IZR. lra.
  - unfold real. split; [intros ->; lra|intros H; apply eq_IZR; lra].
Qed.

Lemma dead_ok t : dead t = true <-> all_vanish (terms_of t).
Proof.
  unfold dead, terms_of, all_vanish. rewrite forallb_forall, Forall_forall. split.
  - intros H y Hy. apply in_map_iff in Hy. destruct Hy as (x & <- & Hx). now apply zero_term_ok, H.
  - intros H x Hx. apply zero_term_ok, H. now apply in_map.
Qed.

Lemma copy_ok x : copies (Finite x) (Finite x).
Proof. intros p [= <-]. exists x. split; [apply reads_refl|reflexivity]. Qed.

Lemma product_real w x : real w * real x = real2 (w * x).
Proof. unfold real, real2. rewrite mult_IZR. lra. Qed.

Lemma sum_real2 a b : real a + real b = real2 ((a + b) * one).
Proof. now rewrite Z.mul_comm, real2_one, real_plus. Qed.

Lemma difference_real2 a b : real a - real b = real2 ((a - b) * one).
Proof. now rewrite Z.mul_comm, real2_one, real_minus. Qed.

Lemma one_bit_pow n p : Z.pow 2 (Z.of_nat n) = Zpos p -> one_bit p = true.
Proof.
  revert p. induction n as [|n IH]; intros p H; [injection H as <-; reflexivity|].
  rewrite Nat2Z.inj_succ, Z.pow_succ_r in H by lia. destruct (Z.pow 2 (Z.of_nat n)) as [|m|m]; [discriminate| |discriminate].
  injection H as <-. exact (IH m eq_refl).
Qed.

(** No weight is a power of two without [power_of_2] saying so. *)
Lemma power_known w : w <> 0%Z -> power_of_two (real w) -> power_of_2 w = true.
Proof.
  intros N [k Hk]. rewrite <- real_abs in Hk. unfold real in Hk.
  assert (P : (1 <= Z.abs w)%Z) by lia. apply IZR_le in P. simpl in P.
  assert (E : IZR (Z.abs w) = bpow radix2 (k + 100)).
  { rewrite bpow_plus, (bpow_powerRZ radix2 k). change (IZR radix2) with 2. rewrite <- Hk.
    assert (B : bpow radix2 100 = 2 ^ 100) by (simpl; lra). rewrite B. field. }
  assert (G : (0 <= k + 100)%Z).
  { destruct (Z.le_gt_cases 0 (k + 100)) as [G|G]; [exact G|].
    assert (bpow radix2 (k + 100) < bpow radix2 0) by now apply bpow_lt. change (bpow radix2 0) with 1 in *. lra. }
  rewrite <- IZR_Zpower in E by exact G. apply eq_IZR in E. change (Zpower radix2 (k + 100)) with (2 ^ (k + 100))%Z in E.
  rewrite <- (Z2Nat.id _ G) in E. destruct w as [|p|p]; [lia| |]; symmetry in E; exact (one_bit_pow _ p E).
Qed.

Theorem admits_sum t : admits t = true -> sum (terms_of t) (Finite (real (result t))).
Proof.
  induction t as [w x v|b|a IHa b IHb v]; cbn [admits result]; intros H.
  - unfold terms_of. cbn [leaves map term_of]. destruct (Z.eqb_spec (w * x) 0) as [Z|N].
    + apply Z.eqb_eq in H. subst v. rewrite real_0. apply sum_zeros. constructor; [|constructor].
      apply (zero_term_ok (inl (w, x))). cbn. now apply Z.eqb_eq.
    + apply andb_prop in H. destruct H as [H1 H2]. assert (E := rounded_ok _ _ H1). rewrite <- product_real in E.
      apply sum_product.
      * intros Z. apply N. apply Z.eqb_eq. apply (zero_term_ok (inl (w, x))). exact Z.
      * exists (real w), (real x). split; [apply reads_refl|]. split; [apply reads_refl|]. split; [now apply rounds_ok|].
        intros P _. exists (real v). split; [reflexivity|].
        rewrite (power_known w) in H2 by (assumption || (intros ->; now apply N)). apply Z.eqb_eq in H2.
        rewrite product_real, <- H2, Z.mul_comm, real2_one, Rminus_diag_eq, Rabs_R0 by reflexivity.
        generalize eta_pos. lra.
  - apply sum_constant, copy_ok.
  - apply andb_prop in H. destruct H as [H H3]. apply andb_prop in H. destruct H as [H1 H2].
    specialize (IHa H1). specialize (IHb H2). unfold terms_of in *. cbn [leaves]. rewrite map_app.
    destruct (dead a) eqn:Da; [|destruct (dead b) eqn:Db].
    + apply Z.eqb_eq in H3. subst v. apply sum_more_zeros with (2 := IHb); [now apply dead_ok|apply copy_ok].
    + apply Z.eqb_eq in H3. subst v. apply sum_any_order with (1 := Permutation_app_comm _ _).
      apply sum_more_zeros with (2 := IHa); [now apply dead_ok|apply copy_ok].
    + assert (Na : ~ all_vanish (terms_of a)) by (rewrite <- dead_ok; congruence).
      assert (Nb : ~ all_vanish (terms_of b)) by (rewrite <- dead_ok; congruence).
      apply (sum_add _ _ _ _ _ Na Nb IHa IHb). intros p q [= <-] [= <-]. exists (real (result a)), (real (result b)).
      split; [apply reads_refl|]. split; [apply reads_refl|]. apply rounds_ok.
      assert (E := rounded_ok _ _ H3). rewrite Z.mul_comm, real2_one, real_plus in E. exact E.
Qed.

(** ** Of given terms *)

Definition same (a b : zterm) : bool :=
  match a, b with
  | inl (w, x), inl (w', x') => (w =? w')%Z && (x =? x')%Z
  | inr b, inr b' => (b =? b')%Z
  | _, _ => false
  end.

Lemma same_ok a b : same a b = true -> a = b.
Proof.
  destruct a as [[w x]|c], b as [[w' x']|c']; cbn; try discriminate; rewrite ?andb_true_iff, ?Z.eqb_eq; [intros [-> ->]|intros ->]; reflexivity.
Qed.

(** The list without [a]; [None] if it is not there. *)
Fixpoint without (a : zterm) (l : list zterm) : option (list zterm) :=
  match l with
  | [] => None
  | b :: l' => if same a b then Some l' else match without a l' with Some k => Some (b :: k) | None => None end
  end.

Fixpoint permuted (l k : list zterm) : bool :=
  match l with
  | [] => match k with [] => true | _ => false end
  | a :: l' => match without a k with Some k' => permuted l' k' | None => false end
  end.

Lemma without_ok a l k : without a l = Some k -> Permutation (a :: k) l.
Proof.
  revert k. induction l as [|b l IH]; intros k H; [discriminate|]. cbn in H. destruct (same a b) eqn:E.
  - injection H as <-. apply same_ok in E. now subst.
  - destruct (without a l) as [m|] eqn:W; [|discriminate]. injection H as <-.
    rewrite perm_swap. now apply perm_skip, IH.
Qed.

Lemma permuted_ok l k : permuted l k = true -> Permutation l k.
Proof.
  revert k. induction l as [|a l IH]; intros k H; cbn in H; [now destruct k|].
  destruct (without a k) as [m|] eqn:W; [|discriminate]. rewrite <- (without_ok _ _ _ W). now apply perm_skip, IH.
Qed.

(** [v] is the sum of the terms [l], computed by [t]. *)
Definition admits_terms (t : witness) (l : list zterm) (v : Z) : bool := admits t && (result t =? v)%Z && permuted (leaves t) l.

Theorem admits_terms_ok t l v : admits_terms t l v = true -> sum (map term_of l) (Finite (real v)).
Proof.
  unfold admits_terms. rewrite !andb_true_iff, Z.eqb_eq. intros [[H1 <-] H3]. apply permuted_ok in H3.
  apply sum_any_order with (2 := admits_sum t H1). unfold terms_of. now rewrite H3.
Qed.
